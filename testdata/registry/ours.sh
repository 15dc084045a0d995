# Sourced by run.sh: our own client. The checks client_estiba_* run in every setting of clients.sh, beside those of the
# clients that people have: what we push they read, what they push we read, file by file. loop_* run the whole loop, build to
# run, against every registry that is at hand.

# ours VERB ARGUMENTS...: our binary, which must succeed, with a store of the check's own.
ours() { works "$estiba" "$@"; }

# begin_ours: an empty store for this check; where the server has TLS, its authority is known by the environment.
begin_ours() {
	export ESTIBA_ROOT=$PWD/store
	ours load -i "$BUSYBOX_LAYOUT" --tag busybox
}

# varied NAME [ARGUMENTS...]: builds an image with all kinds of files, layers that hide files, and a RUN where one is possible.
varied() {
	local name=$1
	shift
	mkdir -p varied/files
	printf 'a\n' >varied/files/a
	head -c 300000 /dev/urandom >varied/files/noise
	head -c 2000000 /dev/zero >varied/files/zeros
	printf 'x' >"varied/files/a name that is longer than the hundred bytes which a header of a tar has room for, by far, as one can see"
	printf '#!/bin/sh\n' >varied/files/run && chmod 0755 varied/files/run
	cat >varied/Dockerfile <<-'DOCKERFILE'
		FROM busybox
		COPY files /files
		RUN ln /files/a /files/hard && ln -s a /files/soft && mkdir -p /deep/er && chmod 1777 /deep && chown 7:8 /files/run && chmod 4711 /files/run
		RUN rm -rf /files/zeros /deep/er && mkdir /deep/er && echo new >/deep/er/new && touch -d @1000000000 /files/a
		CMD ["sh", "-c", "cat /files/a /deep/er/new"]
	DOCKERFILE
	ours build --progress=plain -t "$name" "$@" varied
}

# listing FOLDER: what is in it, with everything that a layer carries of a file.
listing() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%p %y %m %U %G\n' -o -type l -printf '%p %y %U %G %l\n' -o -printf '%p %y %m %U %G %s %n %Ts\n' \) | sort) &&
		(cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}

# layout_of SOURCE FOLDER: a layout of the image, as skopeo copies it, with layers of zstd unpacked: not every umoci reads them.
layout_of() {
	works skopeo copy "$1" "oci:$2:tag"
	grep -rqs 'tar+zstd' "$2/blobs/sha256" || return 0
	needs python3 zstd
	works python3 "$here/unzstd.py" "$2"
}

# same_tree IMAGE LAYOUT:TAG: what our store has as IMAGE is what umoci makes of a layout, file by file.
same_tree() {
	needs umoci
	[ "$(id -u)" = 0 ] || cannot "umoci keeps owners only as root"
	rm -rf our-tree their-tree our.tar context
	mkdir our-tree context
	printf 'FROM %s\n' "$1" >context/Dockerfile
	ours build --output "type=tar,dest=$PWD/our.tar" context
	works tar --numeric-owner -xpf our.tar -C our-tree
	works umoci unpack --image "$2" their-tree
	listing our-tree >our.list
	listing their-tree/rootfs >their.list
	works diff their.list our.list
}

# digest_by_crane REFERENCE: must be what our client says it is.
same_digest() {
	[ -z "${CLIENTS:-}" ] || ! command -v crane >/dev/null || {
		said=$(crane digest "$1" 2>>"$work/log") && [ "$said" = "$2" ] || bad "crane says that $1 is $said, we say $2"
	}
}

# pushed IMAGE REFERENCE [ARGUMENTS...]: pushes; $digest becomes the manifest's.
pushed() {
	local image=$1 to=$2
	shift 2
	ours push --quiet "$@" "$image" "$to"
	digest=$(grep -o 'sha256:[0-9a-f]*' <<<"$said" | tail -n 1)
}

ours_logs_in() {
	[ -n "$login" ] || return 0
	refuses 'does not take|denied|unauthorized' "$estiba" login --username "${login%:*}" --password wrong "$at"
	printf '%s' "${login#*:}" >password
	"$estiba" login --username "${login%:*}" --password-stdin "$at" <password >said 2>&1 || bad "it does not log in: $(cat said)"
	! grep -q "${login#*:}" said || bad "the password was printed"
}

# What we push, in each form, is read by the others as the same files.
client_estiba_pushes() {
	needs skopeo
	begin_ours
	[ -z "$login" ] || refuses 'estiba login' "$estiba" push --no-creds busybox "$at/ours:none"
	ours_logs_in
	varied varied
	local form
	for form in gzip zstd uncompressed; do
		pushed varied "$at/ours:$form" --compression "$form"
		same_digest "$at/ours:$form" "$digest"
		layout_of "docker://$at/ours@$digest" "layout-$form"
		same_tree varied "layout-$form:tag"
	done
	! command -v crane >/dev/null || { crane_logs_in && works crane validate --remote "$at/ours:gzip"; }
	for form in podman buildah; do
		command -v "$form" >/dev/null || continue
		logs_in "$form" login
		works "$form" pull "$at/ours:gzip"
		works "$form" pull "$at/ours:zstd"
		works "$form" rmi -af
	done
	# Again: nothing moves, and the name is the same.
	local before=$digest
	pushed varied "$at/ours:uncompressed" --compression uncompressed
	[ "$digest" = "$before" ] || bad "pushed again it is $digest instead of $before"
	# Under another name: mounted.
	pushed varied "$at/ours/other/place:one"
	works skopeo inspect "docker://$at/ours/other/place:one"
}

# What the others push, in each of their forms, is read by us as the same files.
client_estiba_pulls() {
	needs skopeo
	begin_ours
	ours_logs_in
	local tag
	works skopeo copy --dest-compress --dest-compress-format gzip "oci:$image" "docker://$at/theirs:gzip"
	works skopeo copy --dest-compress --dest-compress-format zstd "oci:$image" "docker://$at/theirs:zstd"
	works skopeo copy --format v2s2 "oci:$image" "docker://$at/theirs:schema2"
	local tags=(gzip zstd schema2)
	if command -v buildah >/dev/null; then
		logs_in buildah login
		mkdir context
		printf 'FROM %s/base:latest\nCOPY Dockerfile /d\nRUN ln /d /hard && rm /bin/ls\n' "$at" >context/Dockerfile
		works buildah bud --isolation chroot -t "$at/theirs:buildah" context
		works buildah push "$at/theirs:buildah"
		works buildah push --compression-format zstd --format docker "$at/theirs:buildah" "docker://$at/theirs:buildah-zstd"
		tags+=(buildah buildah-zstd)
		# Older versions refuse the form.
		says buildah push --compression-format zstd:chunked "$at/theirs:buildah" "docker://$at/theirs:chunked"
		[ "$code" != 0 ] || tags+=(chunked)
		works buildah manifest create "theirs-$suffix"
		works buildah manifest add "theirs-$suffix" "docker://$at/theirs:buildah"
		works buildah manifest push --all "theirs-$suffix" "docker://$at/theirs:index"
		tags+=(index)
		works buildah rmi -af
	fi
	if command -v crane >/dev/null && command -v zstd >/dev/null; then
		crane_logs_in
		printf 'zstd' >z && works tar --owner=0 --group=0 -cf z.tar z && works zstd -q z.tar
		works crane append -b "$at/base:latest" -f z.tar.zst -t "$at/theirs:crane-zstd"
		works crane manifest "$at/theirs:crane-zstd"
		mentions 'tar.zstd|tar\+zstd'
		tags+=(crane-zstd)
	fi
	for tag in "${tags[@]}"; do
		ours pull --quiet "$at/theirs:$tag"
		same_digest "$at/theirs:$tag" "$(grep -o 'sha256:[0-9a-f]*' <<<"$said" | tail -n 1)"
		layout_of "docker://$at/theirs:$tag" "layout-$tag"
		same_tree "$at/theirs:$tag" "layout-$tag:tag"
	done
	ours tags "$at/theirs"
	printed gzip
	printed schema2
}

client_estiba_many_platforms() {
	crane_logs_in
	begin_ours
	ours_logs_in
	index_of ours-index
	ours pull --platform linux/arm64 "$at/ours-index:multi"
	ours inspect "$at/ours-index:multi"
	mentions arm64
	ours pull --all-platforms "$at/ours-index:multi"
	ours push "$at/ours-index:multi" "$at/ours-index/again:multi"
	same_digest "$at/ours-index/again:multi" "$(crane digest "$at/ours-index:multi")"
	works crane validate --remote "$at/ours-index/again:multi"
	refuses 'windows|platform' "$estiba" pull --platform windows/amd64 "$at/ours-index:multi"
}

# Between all places, with the digest kept.
client_estiba_copies() {
	needs skopeo
	begin_ours
	ours_logs_in
	local digest
	digest=$(skopeo inspect --format '{{.Digest}}' "docker://$at/base:latest" 2>>"$work/log") || bad "skopeo does not read it"
	ours copy "docker://$at/base:latest" "docker://$at/copied/a:one"
	same_digest "$at/copied/a:one" "$digest"
	ours copy "$at/copied/a:one" "oci:$PWD/layout:one"
	ours copy "oci:$PWD/layout:one" "oci-archive:$PWD/archive.tar:one"
	ours copy "oci-archive:$PWD/archive.tar:one" "docker://$at/copied/b:one"
	same_digest "$at/copied/b:one" "$digest"
	works skopeo copy --preserve-digests "docker://$at/copied/b:one" "dir:$PWD/dir"
	works skopeo inspect "oci-archive:$PWD/archive.tar:one"
	ours copy "docker://$at/base:latest" "docker-archive:$PWD/docker.tar:loop/app:one"
	works skopeo inspect "docker-archive:$PWD/docker.tar:loop/app:one"
	ours copy "docker-archive:$PWD/docker.tar:loop/app:one" "docker://$at/copied/c:one"
	works skopeo inspect "docker://$at/copied/c:one"
	ours copy "docker://$at/copied/b:one" store:copied
	ours run --rm copied echo it runs
	printed 'it runs'
	ours copy store:copied "docker://$at/copied/d:one"
	works skopeo inspect "docker://$at/copied/d:one"
}

client_estiba_artifacts() {
	begin_ours
	ours_logs_in
	works skopeo copy "docker://$at/base:latest" "docker://$at/ours-artifact:image"
	printf 'sbom' >sbom.json
	ours attach --artifact-type application/vnd.example.sbom "$at/ours-artifact:image" sbom.json
	ours referrers "$at/ours-artifact:image"
	mentions vnd.example.sbom
	if command -v oras >/dev/null; then
		oras_logs_in
		export -f oras_at oras_below
		export plain
		works bash -c 'oras_at discover "$0"' "$at/ours-artifact:image"
		mentions vnd.example.sbom
		works bash -c 'oras_at attach --artifact-type application/vnd.example.signature --annotation by=ada "$0"' "$at/ours-artifact:image"
		ours referrers "$at/ours-artifact:image"
		mentions vnd.example.signature
	fi
	ours tags "$at/ours-artifact"
	printed image
	ours delete "$at/ours-artifact:image"
	refuses 'no such|not found|unknown|404' "$estiba" pull "$at/ours-artifact:image"
}

# --- the whole loop -----------------------------------------------------------------------------------

# the_loop: build, push, pull into an empty store, run; $at is a registry that takes everything. $artifacts: "" or "no".
the_loop() {
	begin_ours
	varied varied
	local pushed_digest
	pushed varied "$at/loop:one"
	pushed_digest=$digest
	pushed varied "$at/loop:zstd" --compression zstd
	ours tags "$at/loop"
	printed one
	printed zstd
	local tag
	for tag in one zstd; do
		export ESTIBA_ROOT=$PWD/store-$tag
		ours run --rm "$at/loop:$tag"
		printed a
		printed new
	done
	ours pull --quiet "$at/loop:one"
	[ "$(grep -o 'sha256:[0-9a-f]*' <<<"$said" | tail -n 1)" = "$pushed_digest" ] || bad "pulled it is another than $pushed_digest"
	mkdir on-top
	printf 'FROM %s/loop:zstd\nRUN cat /files/a > /copied\nCOPY --from=%s/loop:one /deep /deep2\n' "$at" "$at" >on-top/Dockerfile
	export ESTIBA_ROOT=$PWD/store-built
	ours build --progress=plain -t "$at/loop:built" --push on-top
	ours run --rm "$at/loop:built" cat /copied /deep2/er/new
	printed new
	ours copy "docker://$at/loop:one" "docker://$at/loop/copy:one"
	printf 'note' >note.txt
	ours attach --artifact-type application/vnd.example.note "$at/loop:one" note.txt
	ours referrers "$at/loop:one"
	mentions vnd.example.note
	# Version 2 of distribution deletes no tags.
	says "$estiba" delete "$at/loop:zstd"
	[ "$code" = 0 ] || ours delete --manifest "$at/loop:zstd"
}

loop_estiba() {
	trap stop_server EXIT
	start_server loop || exit 1
	the_loop
}

loop_docker_registry() {
	needs docker-registry curl
	trap stop_server EXIT
	distribution_server "$PWD/distribution" || cannot "docker-registry does not start: $(tail -n 1 "$work/server.log")"
	the_loop
}

# Version 3, whose program is called as its image: `go install github.com/distribution/distribution/v3/cmd/registry`.
loop_distribution() {
	needs registry curl
	trap stop_server EXIT
	at=127.0.0.1:$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) url=http://$at
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: "%s"}\n' "$PWD/data" "$at" >distribution.yml
	env -u REGISTRY_AUTH_FILE -u REGISTRY registry serve distribution.yml >"$work/server.log" 2>&1 </dev/null &
	server=$!
	url=http://$at
	wait_for_server || cannot "it does not start: $(tail -n 1 "$work/server.log")"
	the_loop
}

loop_olareg() {
	needs olareg curl
	trap stop_server EXIT
	at=127.0.0.1:$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) url=http://$at
	olareg serve --addr 127.0.0.1 --port "${at#*:}" --dir "$PWD/olareg" --api-delete --api-blob-delete >"$work/server.log" 2>&1 </dev/null &
	server=$!
	wait_for_server || cannot "it does not start: $(tail -n 1 "$work/server.log")"
	the_loop
}

# What we push docker reads, and what it pushes we read.
loop_dockerd() {
	needs skopeo
	trap 'stop_daemon; stop_server' EXIT
	start_server for-docker || exit 1
	suffix=loop
	begin_ours
	varied varied
	pushed varied "$at/for-docker:gzip"
	pushed varied "$at/for-docker:zstd" --compression zstd
	start_daemon
	export DOCKER_HOST=unix://$work/dockerd-$suffix/socket
	works docker pull "$at/for-docker:gzip"
	works docker pull "$at/for-docker:zstd"
	works docker tag "$at/for-docker:zstd" "$at/from-docker:one"
	works docker push "$at/from-docker:one"
	ours pull "$at/from-docker:one"
	works skopeo copy --src-tls-verify=false "docker://$at/from-docker:one" "oci:layout:docker"
	same_tree "$at/from-docker:one" layout:docker
}
