# Sourced by run.sh: the clients that people have, against the server as it is (plain) and behind TLS with
# users, who show passwords (basic) or tokens for them (token). What they need to know of a setting is in
# their own configuration files, so that each check is written once.

# begin_setting NAME: starts the server for the checks below, and tells every client of it.
begin_setting() {
	suffix=$1
	login=
	: >"$work/log"
	begin_clients
	if [ -n "${REGISTRY:-}" ]; then
		at=$REGISTRY url=http://$REGISTRY
	else
		setting_server "$1" || return $?
	fi
	printf '[[registry]]\nlocation = "%s"\ninsecure = %s\n' "$at" "$([ "$1" = plain ] && echo true || echo false)" >"$work/home/.config/containers/registries.conf"
	printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/containers" "$work/run/containers" >"$work/storage.conf"
	printf '{"default":[{"type":"insecureAcceptAnything"}]}\n' >"$work/home/.config/containers/policy.json"
	printf '{"hosts":{"%s":{"tls":"%s"}}}\n' "$at" "$([ "$1" = plain ] && echo disabled || echo enabled)" >"$REGCTL_CONFIG"
	plain=$([ "$1" = plain ] && echo true || echo false)
	image=$BUSYBOX_LAYOUT
	# What most checks read: one image under two tags.
	says skopeo copy "oci:$image" "docker://$at/base:latest" ${login:+--dest-creds "$login"}
	says skopeo copy "oci:$image" "docker://$at/base:v1" ${login:+--dest-creds "$login"}
	[ "$code" = 0 ] || { echo "the image that most checks read cannot be pushed" >"$work/why"; return 1; }
}

# begin_clients: no client knows anything of earlier ones' logins and certificates.
begin_clients() {
	export REGISTRY_AUTH_FILE="$work/auth.json" DOCKER_CONFIG="$work/docker" REGCTL_CONFIG="$work/regctl.json"
	export CONTAINERS_STORAGE_CONF="$work/storage.conf"
	unset SSL_CERT_FILE CURL_CA_BUNDLE
	rm -rf "$REGISTRY_AUTH_FILE" "$DOCKER_CONFIG" "$REGCTL_CONFIG" "$work/clients"
	mkdir -p "$DOCKER_CONFIG" "$work/home/.config/containers"
	printf '{"auths":{}}\n' >"$REGISTRY_AUTH_FILE"
}

# end_settings: what follows is plain again.
end_settings() {
	suffix='' scheme=http login=''
	unset SSL_CERT_FILE CURL_CA_BUNDLE
}

# setting_server SETTING: the server of a setting; $login becomes user:password where there are users.
setting_server() {
	scheme=http
	[ "$1" != plain ] || {
		start_server clients
		return
	}
	command -v htpasswd >/dev/null && command -v openssl >/dev/null || {
		echo "htpasswd and openssl are needed to try it with users and TLS" >"$work/why"
		return 2
	}
	scheme=https login=ada:lovelace
	authority "$work/tls" || return 1
	export SSL_CERT_FILE=$work/tls/ca.pem CURL_CA_BUNDLE=$work/tls/ca.pem
	htpasswd -cbB -C 5 "$work/htpasswd" ada lovelace 2>>"$work/log"
	cat >"$work/registry.toml" <<-TOML
		[server.tls]
		certificate = "$work/tls/server.pem"
		key = "$work/tls/server.key"
		[auth]
		anonymous = "none"
		htpasswd = "$work/htpasswd"
		[auth.token]
		enabled = $([ "$1" = token ] && echo true || echo false)
	TOML
	start_server "clients-$1" --config "$work/registry.toml"
}

# logs_in COMMAND...: where there are users, by the client's own login, after it was refused a wrong password.
logs_in() {
	[ -n "$login" ] || return 0
	says "$@" --username "${login%:*}" --password wrong "$at"
	[ "$code" != 0 ] || bad "it took a wrong password: $*"
	works "$@" --username "${login%:*}" --password "${login#*:}" "$at"
}

# index_of REFERENCE: pushes an image index of two platforms by crane, where crane is.
index_of() {
	works crane mutate --set-platform linux/arm64/v8 -t "$at/$1:arm64" "$at/base:latest"
	works crane copy "$at/base:latest" "$at/$1:amd64"
	works crane index append -t "$at/$1:multi" -m "$at/$1:amd64" -m "$at/$1:arm64"
}

crane_logs_in() {
	needs crane
	[ -z "$login" ] || works crane auth login -u "${login%:*}" -p "${login#*:}" "$at"
}

# --- skopeo -----------------------------------------------------------------------------------------

client_skopeo_copy() {
	needs skopeo
	logs_in skopeo login
	works skopeo copy "oci:$image" "docker://$at/skopeo:one"
	# What a copy compressed on its way comes back byte for byte.
	works skopeo copy "docker://$at/skopeo:one" "oci:$work/check/back:one"
	works skopeo copy "oci:$work/check/back:one" "docker://$at/skopeo:two"
	works skopeo copy "docker://$at/skopeo:two" "oci:$work/check/again:one"
	works diff -r "$work/check/back/blobs" "$work/check/again/blobs"
	works skopeo copy --format v2s2 "oci:$image" "docker://$at/skopeo:schema2"
	works skopeo inspect --raw "docker://$at/skopeo:schema2"
	mentions 'vnd.docker.distribution.manifest.v2'
	works skopeo copy --format oci "docker://$at/skopeo:schema2" "docker://$at/skopeo:oci"
	works skopeo copy --dest-precompute-digests --dest-compress --dest-compress-format zstd "oci:$image" "docker://$at/skopeo:zstd"
	works skopeo copy "docker://$at/skopeo:one" "docker://$at/skopeo/mounted/deep:one"
	works skopeo copy --preserve-digests "docker://$at/skopeo:zstd" "dir:$work/check/dir"
}

client_skopeo_reads_and_deletes() {
	needs skopeo
	logs_in skopeo login
	local tag
	for tag in b a c; do works skopeo copy "oci:$image" "docker://$at/skopeo-list:$tag"; done
	works skopeo list-tags "docker://$at/skopeo-list"
	[ "$(grep -o '"[abc]"' <<<"$said" | tr -d '"\n')" = abc ] || bad "the tags are not listed in order"
	works skopeo inspect "docker://$at/skopeo-list:a"
	mentions '"Architecture"'
	works skopeo inspect --config "docker://$at/skopeo-list:a"
	works skopeo delete "docker://$at/skopeo-list:a"
	refuses 'unknown|not found' skopeo inspect "docker://$at/skopeo-list:a"
}

client_skopeo_many_platforms() {
	needs skopeo
	crane_logs_in
	logs_in skopeo login
	index_of skopeo-index
	works skopeo copy --all "docker://$at/skopeo-index:multi" "docker://$at/skopeo-index/copy:multi"
	works skopeo inspect --raw "docker://$at/skopeo-index/copy:multi"
	mentions arm64
	works skopeo copy --override-arch arm64 --override-variant v8 "docker://$at/skopeo-index/copy:multi" "oci:$work/check/arm"
	works skopeo sync --all --src docker --dest docker "$at/skopeo-index" "$at/skopeo-synced"
}

# --- podman and buildah -----------------------------------------------------------------------------

client_podman() {
	needs podman skopeo
	logs_in podman login
	works podman pull "$at/base:latest"
	works podman push "$at/base:latest" "$at/podman:one"
	works podman push --format v2s2 "$at/base:latest" "$at/podman:schema2"
	works podman push --compression-format zstd "$at/base:latest" "$at/podman:zstd"
	works podman rmi -f "$at/base:latest"
	works podman pull "$at/podman:one"
	works podman pull "$at/podman:schema2"
	works podman pull "$at/podman:zstd"
	works podman search --list-tags --limit 10 "$at/podman"
	mentions schema2
	works podman search "$at/pod"
	mentions podman
	works podman manifest create "podman-list-$suffix" "docker://$at/podman:one"
	works podman manifest push --all "podman-list-$suffix" "docker://$at/podman:list"
	[ -z "$login" ] || works podman logout "$at"
	works podman rmi -af
}

client_podman_without_rights() {
	needs podman setpriv
	[ "$(id -u)" = 0 ] || cannot "whoever runs this has no rights already"
	id estiba-sub >/dev/null 2>&1 || cannot "there is no user estiba-sub"
	local home=$work/plain
	install -d -o estiba-sub -g estiba-sub -m 0700 "$home" "$home/.config" "$home/run"
	chmod 0755 "$work"
	cp -r "$work/home/.config/containers" "$home/.config/"
	sed "s,graphroot = .*,graphroot = \"$home/store\",; s,runroot = .*,runroot = \"$home/run/store\"," "$work/storage.conf" >"$home/storage.conf"
	printf '{"auths":{}}\n' >"$home/auth.json"
	[ -z "$login" ] || cp "$work/tls/ca.pem" "$home/ca.pem"
	chown -R estiba-sub: "$home"
	local plain=(setpriv --reuid=estiba-sub --regid=estiba-sub --clear-groups --inh-caps=-all --reset-env env -C "$home" HOME="$home" XDG_RUNTIME_DIR="$home/run"
		CONTAINERS_STORAGE_CONF="$home/storage.conf" REGISTRY_AUTH_FILE="$home/auth.json" ${login:+SSL_CERT_FILE="$home/ca.pem"} PATH="$PATH" TMPDIR="$home")
	# Many containers have no nested user namespaces: that is podman's trouble, not the registry's.
	says "${plain[@]}" podman info
	[ "$code" = 0 ] || cannot "podman does not run without rights here"
	[ -z "$login" ] || works "${plain[@]}" podman login --username "${login%:*}" --password "${login#*:}" "$at"
	works "${plain[@]}" podman pull "$at/base:latest"
	works "${plain[@]}" podman push "$at/base:latest" "$at/rootless:one"
	works "${plain[@]}" podman rmi -af
}

client_buildah() {
	needs buildah
	logs_in buildah login
	mkdir context
	printf 'FROM %s/base:latest\nCOPY Dockerfile /d\nLABEL built=here\n' "$at" >context/Dockerfile
	works buildah bud --isolation chroot -t "$at/buildah:one" context
	works buildah push "$at/buildah:one"
	works buildah push --format v2s2 "$at/buildah:one" "docker://$at/buildah:schema2"
	works buildah manifest create "buildah-list-$suffix"
	works buildah manifest add "buildah-list-$suffix" "docker://$at/buildah:one"
	works buildah manifest add "buildah-list-$suffix" "docker://$at/base:latest"
	works buildah manifest push --all "buildah-list-$suffix" "docker://$at/buildah:list"
	works buildah rmi -af
	works buildah pull "$at/buildah:one"
	works buildah pull "$at/buildah:list"
	works buildah rmi -af
}

# --- crane ------------------------------------------------------------------------------------------

client_crane() {
	crane_logs_in
	works crane pull --format oci "$at/base:latest" layout
	works crane push layout "$at/crane:one"
	works crane copy "$at/crane:one" "$at/crane/copy:one"
	works crane tag "$at/crane:one" two
	works crane ls "$at/crane"
	printed one
	printed two
	works crane catalog "$at"
	printed crane/copy
	printf 'a file' >file && tar -cf layer.tar file
	works crane append -b "$at/crane:one" -f layer.tar -t "$at/crane:appended"
	works crane mutate -l a=b -t "$at/crane:mutated" "$at/crane:appended"
	works crane validate --remote "$at/crane:mutated"
	works crane config "$at/crane:mutated"
	mentions '"a":"b"'
	works crane digest "$at/crane:one"
	local digest=$said
	works crane manifest "$at/crane@$digest"
	works crane export "$at/crane:appended" tree.tar
	works tar -xOf tree.tar file
	works crane blob "$at/crane@$(crane manifest "$at/crane:one" | grep -o '"layers":.*' | grep -o 'sha256:[0-9a-f]*' | head -n 1)"
	# A tag's deletion leaves the image; the digest's takes it.
	works crane delete "$at/crane:two"
	works crane manifest "$at/crane@$digest"
	works crane delete "$at/crane@$digest"
	refuses 'MANIFEST_UNKNOWN|not found|404' crane manifest "$at/crane@$digest"
}

client_crane_many_platforms() {
	crane_logs_in
	index_of crane-index
	works crane copy --all-tags "$at/crane-index" "$at/crane-index/all"
	works crane pull --platform linux/arm64/v8 "$at/crane-index/all:multi" arm.tar
	works crane flatten -t "$at/crane-index:flat" "$at/crane-index:amd64"
	works crane rebase --help
	works crane validate --remote "$at/crane-index/all:multi"
}

# Between repositories of one server no byte travels: the client asks for a mount and gets it.
client_crane_mounts() {
	crane_logs_in
	printf '%s' "$RANDOM$RANDOM" >own && tar -cf own.tar own
	works crane append -b "$at/base:latest" -f own.tar -t "$at/crane-source:one"
	works crane --verbose copy "$at/crane-source:one" "$at/crane-target:one"
	mentions 'POST .*/v2/crane-target/blobs/uploads/\?.*mount=sha256'
	mentions '201 .*/v2/crane-target/blobs/uploads/\?.*mount=sha256'
	! grep -Eq 'PATCH .*/v2/crane-target/' <<<"$said" || bad "it sent bytes that the server has"
}

# --- regctl -----------------------------------------------------------------------------------------

regctl_logs_in() {
	needs regctl
	[ -z "$login" ] || works regctl registry login -u "${login%:*}" -p "${login#*:}" "$at"
}

client_regctl() {
	regctl_logs_in
	works regctl image copy "$at/base:latest" "$at/regctl:one"
	works regctl image copy "$at/regctl:one" "ocidir://layout:one"
	works regctl image copy "ocidir://layout:one" "$at/regctl:two"
	works regctl image inspect "$at/regctl:two"
	works regctl manifest head "$at/regctl:two"
	works regctl tag ls "$at/regctl"
	printed one
	works regctl tag ls --limit 1 "$at/regctl"
	works regctl tag delete "$at/regctl:two"
	works regctl tag ls "$at/regctl"
	! grep -qx two <<<"$said" || bad "a deleted tag is listed"
	works regctl manifest head "$at/regctl:one"
	works regctl repo ls "$at"
	printed regctl
	works regctl manifest delete --force-tag-dereference "$at/regctl:one"
	refuses 'not found|404' regctl manifest get "$at/regctl:one"
}

client_regctl_artifacts() {
	regctl_logs_in
	works regctl image copy "$at/base:latest" "$at/regctl-artifact:image"
	printf 'a note' >note
	works regctl artifact put --artifact-type application/vnd.example.note -f note "$at/regctl-artifact:note"
	works regctl artifact get "$at/regctl-artifact:note"
	printed 'a note'
	works regctl artifact put --subject "$at/regctl-artifact:image" --artifact-type application/vnd.example.signature --annotation by=ada -f note
	works regctl artifact put --subject "$at/regctl-artifact:image" --artifact-type application/vnd.example.sbom -f note
	works regctl artifact list "$at/regctl-artifact:image"
	mentions vnd.example.signature
	works regctl artifact list --filter-artifact-type application/vnd.example.sbom "$at/regctl-artifact:image"
	! grep -q vnd.example.signature <<<"$said" || bad "the filter let another type through"
	works regctl image copy --referrers "$at/regctl-artifact:image" "$at/regctl-artifact/copy:image"
	works regctl artifact tree "$at/regctl-artifact/copy:image"
	mentions vnd.example.sbom
}

client_regctl_blobs() {
	regctl_logs_in
	head -c 5000000 /dev/urandom >blob
	local want
	want=sha256:$(sha256sum <blob | cut -d' ' -f1)
	works regctl registry set --blob-chunk 1000000 --blob-max 1000000 "$at"
	said=$(regctl --verbosity trace blob put "$at/regctl-blob" <blob 2>"$work/check/trace") || bad "the blob was not put"
	cut -c 1-300 trace >>"$work/log"
	[ "$said" = "$want" ] || bad "the blob became $said"
	works regctl blob head "$at/regctl-blob" "$want"
	regctl blob get "$at/regctl-blob" "$want" | cmp - blob >>"$work/log" 2>&1 || bad "the blob came back as another"
	grep -q 'PATCH' trace || bad "it was not sent in chunks"
	works regctl blob copy "$at/regctl-blob" "$at/regctl-blob/copy" "$want"
	works regctl blob delete "$at/regctl-blob" "$want"
	refuses 'not found|404' regctl blob head "$at/regctl-blob" "$want"
	works regctl blob head "$at/regctl-blob/copy" "$want"
}

client_regctl_sha512() {
	regctl_logs_in
	works regctl image copy "$at/base:latest" "$at/regctl-sha512:image"
	works regctl image mod --digest-algo sha512 --create "$at/regctl-sha512:long" "$at/regctl-sha512:image"
	works regctl manifest head "$at/regctl-sha512:long"
	[[ $said == sha512:* ]] || bad "the image's digest is $said"
	works regctl image copy "$at/regctl-sha512:long" "ocidir://long:image"
	works regctl image check-base "$at/base:latest" --base "$at/base:latest"
	printf 'long' >blob
	said=$(regctl blob put --digest "sha512:$(sha512sum <blob | cut -d' ' -f1)" "$at/regctl-sha512" <blob 2>>"$work/log") || bad "no sha512 blob"
	[[ $said == sha512:* ]] || bad "the blob became $said"
}

client_regctl_index() {
	regctl_logs_in
	crane_logs_in
	index_of regctl-index
	works regctl index create --ref "$at/regctl-index:amd64" "$at/regctl-index:created"
	works regctl index add --ref "$at/regctl-index:arm64" "$at/regctl-index:created"
	works regctl manifest get "$at/regctl-index:created"
	mentions linux/arm64
	works regctl image copy --platform linux/amd64 "$at/regctl-index:created" "$at/regctl-index:one"
	works regctl image export "$at/regctl-index:multi" export.tar
	works regctl image import "$at/regctl-index:imported" export.tar
}

# --- oras -------------------------------------------------------------------------------------------

oras_logs_in() {
	needs oras
	logs_in oras login
}

# oras_at COMMAND ARGUMENTS...: its commands say themselves whether TLS is spoken.
oras_at() { oras "$1" --plain-http="$plain" "${@:2}"; }
oras_below() { oras "$1" "$2" --plain-http="$plain" "${@:3}"; }

client_oras() {
	oras_logs_in
	export -f oras_at oras_below
	export plain
	printf 'hello' >hello.txt
	printf '{"k":1}' >config.json
	works bash -c 'oras_at push "$0" --artifact-type application/vnd.example.thing --config config.json:application/vnd.example.config+json hello.txt:text/plain' "$at/oras:one,two"
	works bash -c 'oras_below repo tags "$0"' "$at/oras"
	printed two
	works bash -c 'oras_below repo ls "$0"' "$at"
	printed oras
	mkdir out
	works bash -c 'oras_at pull "$0" -o out' "$at/oras:one"
	works cmp hello.txt out/hello.txt
	works bash -c 'oras_at tag "$0" three' "$at/oras:one"
	works bash -c 'oras_below manifest fetch --descriptor "$0"' "$at/oras:three"
	works bash -c 'oras_below manifest delete --force "$0"' "$at/oras:one"
	works bash -c 'oras_below blob push "$0" hello.txt' "$at/oras"
	works bash -c 'oras_below blob fetch --output - "$0"' "$at/oras@sha256:$(sha256sum <hello.txt | cut -d' ' -f1)"
	mentions hello
	works bash -c 'oras_below blob delete --force "$0"' "$at/oras@sha256:$(sha256sum <hello.txt | cut -d' ' -f1)"
}

client_oras_attaches() {
	oras_logs_in
	export -f oras_at oras_below
	export plain
	local both=(--from-plain-http="$plain" --to-plain-http="$plain")
	works oras copy "${both[@]}" "$at/base:latest" "$at/oras-tree:image"
	printf 'sbom' >sbom.json
	works bash -c 'oras_at attach --artifact-type application/vnd.example.sbom "$0" sbom.json:application/json' "$at/oras-tree:image"
	works bash -c 'oras_at attach --artifact-type application/vnd.example.signature --annotation by=ada "$0"' "$at/oras-tree:image"
	works bash -c 'oras_at discover "$0"' "$at/oras-tree:image"
	mentions vnd.example.sbom
	mentions vnd.example.signature
	works bash -c 'oras_at discover --artifact-type application/vnd.example.sbom "$0"' "$at/oras-tree:image"
	! grep -q vnd.example.signature <<<"$said" || bad "the filter let another type through"
	works oras copy -r "${both[@]}" "$at/oras-tree:image" "$at/oras-tree/copy:image"
	works bash -c 'oras_at discover "$0"' "$at/oras-tree/copy:image"
	mentions vnd.example.sbom
	works oras copy -r --from-plain-http="$plain" --to-oci-layout "$at/oras-tree:image" "layout:image"
	works oras copy -r --from-oci-layout --to-plain-http="$plain" "layout:image" "$at/oras-tree/back:image"
	works oras backup --help
}

# --- by hand ----------------------------------------------------------------------------------------

client_curl_walks() {
	needs curl
	fetch /v2/
	status 200
	fetch /v2/base/tags/list
	status 200
	mentions '"latest","v1"'
	fetch '/v2/base/tags/list?n=1'
	mentions '^[Ll]ink: <[^>]*last=latest[^>]*>; *rel="next"'
	fetch /v2/base/manifests/latest --header 'Accept: application/vnd.oci.image.manifest.v1+json'
	status 200
	mentions '^[Cc]ontent-[Tt]ype: application/vnd.oci.image.manifest.v1\+json$'
	fetch /v2/base/manifests/latest --head
	mentions '^[Cc]ontent-[Ll]ength: [1-9]'
	fetch /v2/base/manifests/latest
	fetch "/v2/base/blobs/$(grep -o 'sha256:[0-9a-f]*' "$work/body" | head -n 1)" --range 0-99
	status 206
	fetch /v2/_catalog
	mentions '"base"'
	if [ -n "$login" ]; then
		login='' fetch /v2/
		status 401
		mentions '^[Ww][Ww][Ww]-[Aa]uthenticate: '
		login=ada:wrong fetch /v2/base/tags/list
		status 401
	fi
}

# The same over HTTP/2, as proxies in front of it and newer clients ask.
client_curl_http2() {
	needs curl
	curl --version | grep -q HTTP2 || cannot "this curl speaks no HTTP/2"
	local flag=--http2 digest
	[ -n "$login" ] || flag=--http2-prior-knowledge
	head -c 3000000 /dev/urandom >blob
	digest=sha256:$(sha256sum <blob | cut -d' ' -f1)
	# Tokens are for those who ask for one; this one shows its password.
	fetch "/v2/http2/blobs/uploads/?digest=$digest" "$flag" --request POST --header 'Content-Type: application/octet-stream' --data-binary @blob
	status 201
	mentions '^HTTP/2 201'
	fetch "/v2/http2/blobs/$digest" "$flag"
	status 200
	cmp blob "$work/body" >>"$work/log" 2>&1 || bad "the blob came back as another"
	fetch "/v2/http2/blobs/$digest" "$flag" --range 2999990-
	status 206
	[ "$(wc -c <"$work/body")" = 10 ] || bad "a range of 10 bytes has $(wc -c <"$work/body")"
}
