# Sourced by run.sh: stores and disks that fail.

# in_small_store SCRIPT: runs a script with ESTIBA_ROOT on a file system of 24 MB, as root in a mount of
# our own, as anybody else in a user namespace of our own.
in_small_store() {
	local script=$1
	if [ "$(id -u)" = 0 ]; then
		mkdir -p "$work/small"
		mount -t tmpfs -o size=24m,mode=0755 small "$work/small" || cannot "no small file system can be mounted"
		says env ESTIBA_ROOT="$work/small/store" bash -c "$script"
		umount "$work/small" || bad "the small file system stays busy"
	else
		# A namespace inside this namespace is a rung of its own; where none can be made, there is no small disk.
		mkdir -p "$work/small"
		unshare -rm true 2>/dev/null || cannot "no user namespace, so no small file system"
		says unshare -rm bash -c "mount -t tmpfs -o size=24m,mode=0755 small '$work/small' && export ESTIBA_ROOT='$work/small/store' && $script"
	fi
}

attack_store_full_disk() {
	context full
	printf 'FROM busybox\nCOPY large /large\n' >Dockerfile
	head -c 60000000 /dev/urandom >large
	export estiba BUSYBOX_LAYOUT
	LIMIT=60 in_small_store '
		"$estiba" load -i "$BUSYBOX_LAYOUT" || exit 90
		before=$(find "$ESTIBA_ROOT/blobs" "$ESTIBA_ROOT/snapshots" -type f 2>/dev/null | sort)
		"$estiba" build --progress=plain -t large .
		code=$?
		[ $code != 0 ] || exit 91
		[ -z "$("$estiba" images -q large)" ] || exit 92
		"$estiba" prune -f >/dev/null || exit 93
		# What was written for nothing is gone, and the store still works.
		: > large
		"$estiba" build --progress=plain -t large . || exit 94
		echo survived'
	grep -Eiq 'no space|disk is full|ENOSPC' <<<"$said" || bad "its error does not say that the disk is full"
	[ "$code" = 0 ] || bad "it ended with $code (90 load, 91 build succeeded, 92 half an image, 93 prune, 94 small build)"
	printed survived
}

attack_store_of_another_user() {
	local store
	if [ "$(id -u)" = 0 ]; then
		store=$work/foreign
		ESTIBA_ROOT=$store works "$estiba" load -i "$BUSYBOX_LAYOUT"
		chown -R 12345:12345 "$store"
		ESTIBA_ROOT=$store refuses 'own|permission' "$estiba" images
	else
		# Not a store, but where nobody but root may make one.
		store=/usr/lib
	fi
	ESTIBA_ROOT=$store refuses 'own|permission' "$estiba" load -i "$BUSYBOX_LAYOUT"
}

attack_store_of_a_newer_version() {
	local store=$work/newer
	ESTIBA_ROOT=$store works "$estiba" load -i "$BUSYBOX_LAYOUT"
	[ -f "$store/version" ] || bad "the store has no version"
	echo 999 >"$store/version"
	ESTIBA_ROOT=$store refuses 'newer|version' "$estiba" images
	ESTIBA_ROOT=$store refuses 'newer|version' "$estiba" load -i "$BUSYBOX_LAYOUT"
	[ "$(cat "$store/version")" = 999 ] || bad "it changed the newer store"
}

attack_store_with_a_broken_blob() {
	context broken
	local store=$work/broken-store blob
	export ESTIBA_ROOT="$store"
	works "$estiba" load -i "$BUSYBOX_LAYOUT"
	blob=$(find "$store/blobs" -type f -size +100k | head -n 1)
	[ -n "$blob" ] || cannot "the store holds no large blob to break"
	chmod u+w "$blob"
	printf 'evil' | dd of="$blob" bs=1 seek=5000 conv=notrunc status=none
	# Bytes that do not match their name never start as an image.
	refuses 'digest|sha256|corrupt|does not match' "$estiba" run --rm busybox true
}

attack_layout_that_lies() {
	local layout=$work/lying
	# A blob that the store has is not read again, so the store must not have it.
	export ESTIBA_ROOT="$work/lied-to"
	cp -r "$BUSYBOX_LAYOUT" "$layout"
	find "$layout/blobs" -type f -size +100k -exec sh -c 'printf evil | dd of="$1" bs=1 seek=5000 conv=notrunc status=none' _ {} \;
	refuses 'digest|sha256' "$estiba" load -i "$layout"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../../../../etc/passwd","size":10}]}' >"$layout/index.json"
	refuses 'digest|sha256|index' "$estiba" load -i "$layout"
	printf '{' >"$layout/index.json"
	refuses 'index.json' "$estiba" load -i "$layout"
	refuses 'nowhere' "$estiba" load -i "$work/nowhere"
}

attack_store_shared_by_builds_and_prune() {
	context shared
	local number
	for number in 1 2 3; do
		mkdir "c$number"
		printf 'FROM busybox\nRUN echo %s > /n; sleep 0.2\nCOPY Dockerfile /d\nRUN cat /n > /m\n' "$number" >"c$number/Dockerfile"
	done
	local jobs=()
	for number in 1 2 3 1 2; do
		"$estiba" build --progress=plain -t "shared$number" "c$number" >"out.$number.$RANDOM" 2>&1 &
		jobs+=($!)
	done
	for _ in 1 2 3 4 5; do
		"$estiba" prune -f >>"$work/log" 2>&1 || bad "prune failed beside builds"
	done
	for job in "${jobs[@]}"; do
		wait "$job" || { cat out.* >>"$work/log"; bad "a build failed beside others and a prune"; }
	done
	for number in 1 2 3; do
		works "$estiba" run --rm "shared$number" cat /m
		printed "$number"
	done
}
