# Sourced by run.sh: images and commands that reach for the host. The numbers are those under which the
# same mistake became known in other engines.

# run_image IMAGE ARGUMENTS...
run_image() { LIMIT=30 says "$estiba" run --rm "$@"; }

# CVE-2019-5736: the container overwrites the binary that started it.
attack_image_overwrites_the_binary() {
	local before
	before=$(sha256sum <"$estiba")
	run_image --entrypoint /proc/self/exe busybox --version
	run_image busybox sh -c 'for pid in 1 self; do echo evil > /proc/$pid/exe; done; cat /proc/self/maps >/dev/null'
	[ "$before" = "$(sha256sum <"$estiba")" ] || bad "the binary changed"
}

# CVE-2024-21626: the working directory is a descriptor that leads to the host.
attack_image_workdir_is_a_descriptor() {
	local fd
	for fd in 3 4 5 6 7 8 9 10 11 12 20; do
		run_image -w "/proc/self/fd/$fd" busybox sh -c 'cat ../../../../../../../../etc/hostname; ls ../../../../../../work 2>/dev/null; pwd -P'
		[[ $said != *"$work"* ]] || bad "-w /proc/self/fd/$fd reached the host"
	done
	context workdir
	for fd in 3 5 7 8 9; do
		printf 'FROM busybox\nWORKDIR /proc/self/fd/%s\nRUN ls -la . ; cat ../../../../../../..%s 2>&1\n' "$fd" "$work/outside/secret" >Dockerfile
		LIMIT=30 says "${build[@]}" --no-cache .
		[[ $said != *'not yours'* ]] || bad "WORKDIR /proc/self/fd/$fd reached the host"
	done
}

attack_image_inherits_no_descriptor() {
	exec 7<"$estiba" 8</etc/passwd
	run_image busybox sh -c 'ls /proc/self/fd | sort -n | tr "\n" " "'
	# ls holds the folder open itself, as 3.
	printed '0 1 2 3 '
	context descriptors
	printf 'FROM busybox\nRUN test "$(ls /proc/self/fd | sort -n | tr "\\n" " ")" = "0 1 2 3 "\n' >Dockerfile
	works "${build[@]}" --no-cache .
}

# CVE-2025-31133: the image brings its own /dev/null, which then is mounted over what must be hidden.
attack_image_with_its_own_dev_null() {
	local dir=$work/own-null
	mkdir -p "$dir/dev" && ln -s /proc/sysrq-trigger "$dir/dev/null"
	tar --create --file "$work/null.tar" --owner=0 --group=0 -C "$dir" dev
	image_of own-null "$work/null.tar"
	works "$estiba" load -i "$work/layouts/own-null"
	run_image own-null sh -c 'test -c /dev/null && test ! -L /dev/null && echo "a device"; cat /proc/kcore 2>&1 | head -c 10'
	printed 'a device'
}

# CVE-2025-52881 and its like: /proc of the image is a link or a folder with contents of its own.
attack_image_with_its_own_proc() {
	local dir=$work/own-proc
	mkdir -p "$dir/elsewhere" && ln -s elsewhere "$dir/proc"
	tar --create --file "$work/proc.tar" --owner=0 --group=0 -C "$dir" proc elsewhere
	image_of own-proc "$work/proc.tar"
	works "$estiba" load -i "$work/layouts/own-proc"
	# A refusal or a real /proc: nothing between.
	run_image own-proc sh -c 'test -e /proc/self/status && echo real'
	if [ "$code" = 0 ]; then printed real; fi
}

# CVE-2019-19921, CVE-2023-27561: links where the mounts go.
attack_image_with_links_as_mount_points() {
	local dir=$work/mount-links
	mkdir -p "$dir" "$work/target" && ln -s ../../../../../../.."$work/target" "$dir/data"
	ln -s /etc "$dir/sys"
	tar --create --file "$work/links.tar" --owner=0 --group=0 -C "$dir" data sys
	image_of mount-links "$work/links.tar"
	works "$estiba" load -i "$work/layouts/mount-links"
	mkdir -p "$work/volume" && echo volume >"$work/volume/file"
	run_image -v "$work/volume:/data/deep" --tmpfs /data/tmp mount-links sh -c 'ls -l /data/deep'
	[ -z "$(ls "$work/target")" ] || bad "a mount point was made on the host"
	context mount-links
	printf 'FROM mount-links\nRUN --mount=type=cache,target=/data/cache touch /data/cache/x\nWORKDIR /data/deeper\nCOPY Dockerfile /data/copied/\n' >Dockerfile
	LIMIT=30 says "${build[@]}" .
	[ -z "$(ls "$work/target")" ] || bad "a build made something on the host"
}

# CVE-2022-0492, CVE-2023-25809: cgroups and the rest of /sys and /proc.
attack_image_writes_to_the_kernel() {
	run_image busybox sh -c '
		for path in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /proc/sys/kernel/core_pattern \
			/proc/sysrq-trigger /proc/sys/kernel/modprobe /sys/kernel/uevent_helper; do
			if (echo evil >"$path") 2>/dev/null; then echo "wrote $path"; fi
		done
		mount -o remount,rw /sys 2>/dev/null && echo "remounted /sys"
		mount -o remount,rw /proc/sys 2>/dev/null && echo "remounted /proc/sys"
		cat /proc/kcore 2>/dev/null | head -c 1 | wc -c | grep -v "^0" && echo "read kcore"
		true'
	[[ $said != *wrote* && $said != *remounted* && $said != *'read kcore'* ]] || bad "the kernel's files can be written"
}

# CVE-2022-29162, CVE-2014-8989.
attack_image_capabilities() {
	run_image busybox grep -E '^Cap(Inh|Amb)' /proc/self/status
	printed $'CapInh:\t0000000000000000'
	printed $'CapAmb:\t0000000000000000'
	run_image busybox grep '^CapBnd' /proc/self/status
	printed $'CapBnd:\t00000000a80425fb'
	run_image busybox grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status
	printed $'Seccomp:\t2'
}

# CVE-2024-45310: no stray file on the host, whatever a mount's target is.
attack_image_leaves_nothing_behind() {
	mkdir -p "$work/volume"
	local before
	before=$(find "$work/volume" | sort)
	run_image -v "$work/volume:/v" --tmpfs /v/tmp busybox true
	run_image -v "$work/volume:/v:ro" busybox sh -c 'touch /v/x 2>/dev/null && echo wrote'
	[[ $said != *wrote* ]] || bad "a read-only volume was written"
	[ "$before" = "$(find "$work/volume" | sort)" ] || [ -d "$work/volume/tmp" ] || bad "a run left files on the host"
}

# What the builder mounts into a RUN never becomes part of the image.
attack_image_build_leaves_no_trace() {
	context traces
	dockerfile <<-'DOCKERFILE'
		FROM busybox
		RUN cat /etc/resolv.conf /etc/hosts > /dev/null; touch /made
		RUN --mount=type=cache,target=/var/deep/cache --mount=type=tmpfs,target=/new touch /var/deep/cache/x /new/x
	DOCKERFILE
	tree
	! grep -Eq ' (\./)?(etc/(resolv.conf|hosts|hostname)|dev/.+|proc/.+|sys/.+)$' <<<"$tree" || bad "a mount's file is in the image"
	! grep -q 'deep/cache/x\|new/x' <<<"$tree" || bad "a cache's file is in the image"
}

# CVE-2024-11218 and its like: two RUNs side by side race on what a mount shares.
attack_build_races_on_a_shared_mount() {
	context race
	mkdir -p "$work/outside"
	echo 'not yours' >"$work/outside/secret"
	dockerfile <<-DOCKERFILE
		FROM busybox AS swap
		RUN --mount=type=cache,target=/shared,id=race i=0; while [ \$i -lt 300 ]; do rm -rf /shared/d; ln -s $work/outside /shared/d; rm -f /shared/d; mkdir -p /shared/d; i=\$((i+1)); done
		FROM busybox AS mounts
		RUN --mount=type=cache,target=/shared,id=race true
		RUN --mount=type=cache,target=/in,id=race2,from=swap,source=/ cat /in/d/secret 2>/dev/null; true
		RUN --mount=type=bind,from=swap,source=/shared/d,target=/in cat /in/secret 2>/dev/null; true
		FROM busybox
		COPY --from=swap / /a/
		COPY --from=mounts / /b/
	DOCKERFILE
	LIMIT=60 says "${build[@]}" --no-cache .
	[[ $said != *'not yours'* ]] || bad "a mount led to the host"
	[ "$(cat "$work/outside/secret")" = 'not yours' ] || bad "a clean-up followed a link"
}

# Clean-up after a build never follows what the build left.
attack_build_cleanup_follows_no_link() {
	context cleanup
	mkdir -p "$work/precious" && echo kept >"$work/precious/file"
	dockerfile <<-DOCKERFILE
		FROM busybox
		RUN rm -rf /home /var; ln -s $work/precious /home; ln -s / /var; mkdir -p /locked/deep; chmod 0 /locked
		RUN --mount=type=cache,target=/c ln -sf $work/precious /c/link; mkdir -p /c/locked/deep; chmod 0 /c/locked
	DOCKERFILE
	works "${build[@]}" -t cleanup .
	works "$estiba" rmi -f cleanup
	works "$estiba" prune -af
	[ "$(cat "$work/precious/file")" = kept ] || bad "prune followed a link"
	"$estiba" load -i "$BUSYBOX_LAYOUT" >>"$work/log" 2>&1 || bad "busybox cannot be loaded again"
}
