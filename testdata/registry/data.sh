# Sourced by run.sh: the data directory as a whole: checks, repairs, copies, and what comes in from elsewhere.

# manage VERB ARGUMENTS...: a verb on the data directory $root.
manage() { local verb=$1; shift; works "$estiba" registry "$verb" --root "$root" "$@"; }

push_base() { works skopeo copy --dest-tls-verify=false "oci:$BUSYBOX_LAYOUT" "docker://$at/$1"; }
digest_at() { skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$at/$1" 2>>"$work/log"; }

# distribution_server FOLDER: docker-registry with its data there; $at is its host:port.
distribution_server() {
	local port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) i
	at=127.0.0.1:$port url=http://127.0.0.1:$port
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n' "$1" "$at" >distribution.yml
	# It would take the clients' file of logins for a field of its configuration.
	env -u REGISTRY_AUTH_FILE docker-registry serve distribution.yml >"$work/server.log" 2>&1 </dev/null &
	server=$!
	wait_for_server
}

# A registry of the other kind, with tags that moved, one that was deleted, and a damaged blob in its own repository.
data_import_distribution() {
	needs docker-registry skopeo curl
	root=$work/imported
	trap stop_server EXIT
	distribution_server "$PWD/distribution" || cannot "docker-registry does not start: $(tail -n 1 "$work/server.log")"
	push_base team/deep/app:1
	push_base team/deep/app:latest
	works skopeo copy --format v2s2 --dest-tls-verify=false "oci:$BUSYBOX_LAYOUT" "docker://$at/schema2:a"
	works skopeo copy --dest-tls-verify=false "oci:$BUSYBOX_LAYOUT" "docker://$at/gone:a"
	local one two
	one=$(digest_at team/deep/app:1) two=$(digest_at schema2:a)
	works skopeo delete --tls-verify=false "docker://$at/gone:a"
	stop_server
	manage import "$PWD/distribution"
	mentions '3 tags new'
	manage import "$PWD/distribution"
	mentions '0 blobs, 0 manifests, 0 tags new'
	manage fsck
	mentions 'everything is sound'
	start_server imported || exit 1
	[ "$(digest_at team/deep/app:latest)" = "$one" ] && [ "$(digest_at schema2:a)" = "$two" ] || bad "an image has another digest than it had there"
	works skopeo copy --src-tls-verify=false "docker://$at/team/deep/app:1" "dir:$PWD/pulled"
	refuses 'unknown' skopeo inspect --tls-verify=false "docker://$at/gone:a"
	# What was moved here since stays.
	works skopeo copy --src-tls-verify=false --dest-tls-verify=false "docker://$at/schema2:a" "docker://$at/team/deep/app:1" 
	refuses 'it stays as it is' "$estiba" registry import --root "$root" "$PWD/distribution"
	[ "$(digest_at team/deep/app:1)" = "$two" ] || bad "an import moved a tag back"
	stop_server
	# Bytes that are not what they should be stay outside.
	local blob
	blob=$(find distribution -name data -size +100k | head -n 1)
	cp "$blob" own && printf x >>own && mv own "$blob"
	root=$work/imported2
	refuses 'its content has the digest' "$estiba" registry import --copy --root "$root" "$PWD/distribution"
	manage fsck
}

data_import_layouts() {
	needs skopeo
	root=$work/layouts
	manage import --to folder "$BUSYBOX_LAYOUT"
	works skopeo copy "oci:$BUSYBOX_LAYOUT" "oci-archive:$PWD/image.tar:v9"
	manage import --to archive/image "$PWD/image.tar"
	manage import --to archive/image "$PWD/image.tar"
	mentions '0 blobs, 0 manifests, 0 tags new'
	gzip -k image.tar
	refuses 'decompress it first' "$estiba" registry import --root "$root" --to a "$PWD/image.tar.gz"
	refuses '--to NAME' "$estiba" registry import --root "$root" "$BUSYBOX_LAYOUT"
	head -c 2000 image.tar >cut.tar
	refuses 'cut off|not there|not in' "$estiba" registry import --root "$root" --to cut "$PWD/cut.tar"
	manage fsck
	trap stop_server EXIT
	start_server layouts || exit 1
	works skopeo inspect --tls-verify=false "docker://$at/archive/image:v9"
}

# A copy while pushes go on; again; restored elsewhere; a damaged one is told.
data_backup() {
	needs skopeo
	root=$work/served
	trap stop_server EXIT
	start_server served || exit 1
	push_base a:1
	manage backup "$PWD/copy"
	mentions 'new: 3 objects'
	(for i in 1 2 3 4 5 6 7 8; do skopeo copy -q --dest-tls-verify=false "oci:$BUSYBOX_LAYOUT" "docker://$at/during:$i" || exit 1; done) >>"$work/log" 2>&1 &
	local pushes=$!
	manage backup "$PWD/copy"
	wait "$pushes" || bad "a push failed while a backup was made"
	manage backup "$PWD/copy"
	mentions 'new: 0 objects'
	refuses 'in use' "$estiba" registry restore "$PWD/copy" --root "$root"
	stop_server
	root=$work/restored
	manage restore "$PWD/copy"
	manage fsck
	refuses 'empty folder' "$estiba" registry restore "$PWD/copy" --root "$root"
	start_server restored || exit 1
	works skopeo copy --src-tls-verify=false "docker://$at/during:8" "dir:$PWD/pulled"
	stop_server
	local blob
	blob=$(find copy/blobs -type f -size +100k | head -n 1)
	cp "$blob" own && printf x | dd of=own bs=1 seek=10 conv=notrunc 2>/dev/null && mv own "$blob"
	root=$work/damaged
	refuses 'its content has the digest' "$estiba" registry restore "$PWD/copy" --root "$root"
	refuses 'restored without them' "$estiba" registry restore --keep-going "$PWD/copy" --root "$root"
	refuses 'out of reach' "$estiba" registry fsck --repair --root "$root"
	manage fsck
}

# Damage is found, never served once repaired, and mended by a push; lost metadata is made anew.
data_fsck() {
	needs skopeo curl
	root=$work/checked
	trap stop_server EXIT
	start_server checked || exit 1
	push_base a:1
	push_base a:2
	local digest blob
	digest=$(digest_at a:1)
	manage fsck
	refuses 'for itself' "$estiba" registry fsck --repair --root "$root"
	stop_server
	blob=$(find "$root/blobs" -type f -size +100k | head -n 1)
	printf x | dd of="$blob" bs=1 seek=10 conv=notrunc 2>/dev/null
	refuses 'of a: its content has the digest' "$estiba" registry fsck --root "$root"
	refuses 'out of reach' "$estiba" registry fsck --repair --root "$root"
	manage fsck
	start_server checked || exit 1
	blob=${blob##*/}
	fetch "/v2/a/blobs/sha256:${blob%%.*}"
	status 404
	push_base a:1
	works skopeo copy --src-tls-verify=false "docker://$at/a:2" "dir:$PWD/pulled"
	stop_server
	rm "$root"/metadata.sqlite*
	refuses 'rebuild' "$estiba" registry fsck --root "$root"
	manage fsck --rebuild
	manage fsck
	start_server checked || exit 1
	[ "$(digest_at a:1)" = "$digest" ] && [ "$(digest_at a:2)" = "$digest" ] || bad "a rebuilt tag names something else"
	stop_server
	# Without the journal nobody knows names; the bytes are there.
	rm "$root"/metadata.sqlite* "$root/names.journal"
	rm -rf "$root"/metadata.before-*
	refuses 'recovered' "$estiba" registry fsck --rebuild --root "$root"
	start_server checked || exit 1
	works skopeo copy --src-tls-verify=false "docker://$at/recovered@$digest" "dir:$PWD/recovered"
}

data_versions() {
	root=$work/newer
	mkdir -p "$root"
	printf '99\n' >"$root/version"
	refuses 'version 99.*use a newer' "$estiba" registry fsck --root "$root"
	refuses 'version 99.*use a newer' "$estiba" registry serve --addr 127.0.0.1:0 --root "$root"
	mkdir "$work/strange" && touch "$work/strange/thesis.tex"
	refuses 'thesis.tex' "$estiba" registry serve --addr 127.0.0.1:0 --root "$work/strange"
}

# The rules of the configuration, by hand and dry; the server's timer does the same.
data_retention() {
	needs skopeo
	root=$work/kept
	printf '[[retention]]\nname = "ci"\nrepositories = ["ci/**"]\nkeep_last = 1\nkeep_matching = ["v*"]\n' >rules.toml
	trap stop_server EXIT
	start_server kept --config "$PWD/rules.toml" || exit 1
	local tag
	for tag in v1 a b c; do push_base "ci/app:$tag"; sleep 0.01; done
	push_base other:a
	manage retention --dry-run
	printed 'ci/app:a (ci: not among the newest 1, matches nothing that stays)'
	mentions '2 tags would go'
	manage retention
	mentions '2 tags went'
	manage retention
	mentions '0 tags went'
	works skopeo list-tags --tls-verify=false "docker://$at/ci/app"
	! grep -q '"a"' <<<"$said" || bad "a tag is still there that the rule lets go"
	mentions '"v1"'
	mentions '"c"'
}
