# Sourced by run.sh: inside a container that gives root no CAP_SYS_ADMIN and refuses namespaces.

attack_inside_a_container() {
	[ "$(id -u)" = 0 ] || cannot "only root can make the container around us"
	ldd "$estiba" 2>&1 | grep -q 'statically linked\|not a dynamic' || cannot "the binary is not static, and the container holds nothing else"
	context contained
	mkdir -p root/bin root/proc root/dev root/tmp root/context
	local layer
	for layer in "$BUSYBOX_LAYOUT"/blobs/sha256/*; do
		tar -xf "$layer" -C root ./bin 2>/dev/null || true
	done
	[ -x root/bin/busybox ] || bad "there is no busybox in $BUSYBOX_LAYOUT"
	cp "$estiba" root/bin/estiba
	cp -r "$BUSYBOX_LAYOUT" root/layout
	printf 'FROM busybox\nRUN echo run > /made && chown 33:33 /made && rm /bin/ash\nCOPY given /given\nRUN cat /given >> /made\nCMD ["sh", "-c", "cat /made; stat -c %%u /made; ls /bin/ash"]\n' >root/context/Dockerfile
	printf 'given\n' >root/context/given
	cat >root/script <<-'SCRIPT'
		export PATH=/bin HOME=/tmp ESTIBA_ROOT=/tmp/store
		estiba load -i /layout
		estiba doctor
		estiba build --progress=plain -t contained /context && estiba run --rm contained
		estiba build --progress=plain -t contained /context
	SCRIPT
	# A chroot refuses user namespaces, as a container's seccomp filter does.
	says unshare -m sh -c 'mount --bind /proc root/proc && mount --bind /dev root/dev && exec setpriv --bounding-set=-sys_admin,-sys_ptrace,-net_admin chroot root /bin/busybox sh /script'
	grep -q 'privileges: chroot' <<<"$said" || bad "the rung is not chroot"
	printed run
	printed given
	printed 33
	grep -q 'ls: /bin/ash' <<<"$said" || bad "what a RUN removed is there"
	grep -q '3 of 3 steps cached' <<<"$said" || bad "the second build was not cached"
}
