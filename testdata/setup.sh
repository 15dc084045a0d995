# Sourced by ./test and ./demo: what a Debian machine needs beyond Rust.

# "command package": what is looked for, and what brings it.
NEEDED="cc:gcc make:make wget:wget setpriv:util-linux flock:util-linux newuidmap:uidmap tar:tar"
# What checks our output against others, or is measured beside us.
PEERS="skopeo:skopeo podman:podman runc:runc umoci:umoci buildah:buildah bwrap:bubblewrap debootstrap:debootstrap fakeroot:fakeroot mkfs.ext4:e2fsprogs zstd:zstd xz:xz-utils bzip2:bzip2 dockerd:docker.io python3:python3 curl:curl openssl:openssl htpasswd:apache2-utils pasta:passt slirp4netns:slirp4netns qemu-system-x86_64:qemu-system-x86 cpio:cpio depmod:kmod busybox:busybox-static"

# missing LIST: the packages of LIST whose command is not there, each once.
missing() {
	local pair
	for pair in $1; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair#*:}"
	done | sort -u
}

# Installs what is missing when it may, and says what is missing when it may not.
setup_machine() {
	local packages
	packages=$(missing "$NEEDED ${1-$PEERS}" | tr '\n' ' ')
	command -v cargo >/dev/null || {
		echo "Rust is missing: install it with rustup, or put cargo into the PATH" >&2
		exit 1
	}
	[ "$(id -u)" != 0 ] || [ -n "${1+named}" ] || {
		sh testdata/user.sh estiba-sub subordinate && sh testdata/user.sh estiba-plain plain
	}
	[ -n "${packages// /}" ] || return 0
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing: $packages"
		# A source that cannot be reached must not matter when another one has the packages.
		apt-get -qq update || true
		# shellcheck disable=SC2086
		if DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $packages >/dev/null; then
			return 0
		fi
		packages=$(missing "$NEEDED" | tr '\n' ' ')
		[ -n "${packages// /}" ] || return 0
	fi
	echo "missing packages (apt-get install $packages): what needs them is skipped" >&2
	if missing "$NEEDED" | grep -q '^gcc$'; then
		echo "nothing can be built without a C compiler and linker" >&2
		exit 1
	fi
}
