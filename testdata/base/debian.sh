#!/bin/sh
# Makes an OCI layout of a real Debian bookworm: debootstrap's minbase. As root, or as any user.
#
# usage: debian.sh [--fresh] [--with-estiba] [OUT]     prints the layout's path
#
#   OUT             where to write (default: the cache folder; made once, then found again)
#   --fresh         make it again even though it is there
#   --with-estiba   do as for an ordinary user even when root
#
# Both stages of debootstrap run in any case. The first, which only downloads and unpacks, runs as
# root or under fakeroot. The second, which runs programs of the new system as its root, needs a
# chroot: root has one, and everybody else has `estiba build` ($ESTIBA, else estiba in $PATH).
#
# The mirror, the releases and the leniency about dates are those of this system's apt.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/layout.sh"

suite=bookworm fresh= with_estiba=
while :; do
	case ${1:-} in
	--fresh) fresh=1 ;;
	--with-estiba) with_estiba=1 ;;
	-*) die "unknown option $1" ;;
	*) break ;;
	esac
	shift
done
out=${1:-$cache/debian.oci}
[ "$(id -u)" = 0 ] || with_estiba=1

mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/debian.lock"
flock 9
if [ -z "$fresh" ] && [ -f "$out/index.json" ]; then
	printf '%s\n' "$out"
	exit
fi

# --- tools ---------------------------------------------------------------------------------------

# unpacked PACKAGE: prints the folder that the package's files are unpacked into.
unpacked() {
	dir=$cache/tools/$1
	if [ ! -d "$dir" ]; then
		deb=$(fetch_package "$1")
		rm -rf "$dir.partial"
		dpkg-deb -x "$deb" "$dir.partial"
		mv "$dir.partial" "$dir"
	fi
	printf '%s\n' "$dir"
}

command -v wget >/dev/null || die "debootstrap needs wget: install the package wget"
PATH=$PATH:/usr/sbin:/sbin
debootstrap=$(command -v debootstrap) || {
	dir=$(unpacked debootstrap)
	debootstrap=$dir/usr/sbin/debootstrap
	export DEBOOTSTRAP_DIR="$dir/usr/share/debootstrap"
}
estiba=${ESTIBA:-estiba}
if [ -n "$with_estiba" ]; then
	command -v "$estiba" >/dev/null || die "the second stage needs estiba: set ESTIBA to the binary, or put it in the PATH"
	command -v fakeroot >/dev/null || {
		dir=$(unpacked fakeroot)
		lib=$(unpacked libfakeroot)
		# fakeroot is a script that takes both of its parts by option.
		faked=$(find "$dir" -name 'faked-sysv' -type f)
		library=$(find "$lib" -name 'libfakeroot-sysv.so')
		script=$(find "$dir" -name 'fakeroot-sysv' -type f)
		fakeroot() { "$script" --faked "$faked" --lib "$library" "$@"; }
	}
fi

# --- what this system's apt says -----------------------------------------------------------------

sources=$(debian_sources "$suite")
[ -n "$sources" ] || { private_lists; sources=$(debian_sources "$suite"); }
[ -n "$sources" ] || die "apt is configured with no source of $suite"
mirror=$(printf '%s\n' "$sources" | awk -v suite="$suite" '$2 == suite { print $1; exit }')
[ -n "$mirror" ] || die "apt's sources have updates of $suite but not the release itself"
proxy=
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "$proxy" ] || export http_proxy="${http_proxy:-$proxy}"

# --- the first stage -----------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/var/tmp}/estiba-debian.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
umask 022
unset LANG LC_ALL TMPDIR || true
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

# What runs under fakeroot as one process, so that the owners it feigns last until the tar is made.
cat >"$work/first.sh" <<'FIRST'
set -eu
work=$1 debootstrap=$2 suite=$3 mirror=$4
"$debootstrap" --foreign --variant=minbase "$suite" "$work/root" "$mirror" >"$work/first.log" 2>&1 || {
	tail -n 20 "$work/first.log" >&2
	exit 1
}
# The newest file of the packages: the same for everybody who gets the same packages.
find "$work/root" -type f ! -newer "$work/first.sh" -printf '%Ts\n' | sort -n | tail -n 1 >"$work/epoch"
cp "$work/sources.list" "$work/root/etc/apt/sources.list"
cp "$work/apt.conf" "$work/root/etc/apt/apt.conf.d/90as-made"
cp "$work/finish.sh" "$work/root/tmp/finish.sh"
# Inside some containers debootstrap makes /proc a link, which its second stage would undo.
[ ! -L "$work/root/proc" ] || { rm "$work/root/proc" && mkdir "$work/root/proc"; }
# The download of the host's own settings is none of the image's business.
rm -f "$work/root/etc/resolv.conf" "$work/root/etc/hostname"
[ -z "${TAR_TO:-}" ] || tar --create --file "$TAR_TO" --directory "$work/root" --numeric-owner \
	--exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
FIRST

printf '%s\n' "$sources" | sed 's/^/deb /' >"$work/sources.list"
for setting in Acquire::Check-Valid-Until Acquire::Check-Date; do
	value=
	eval "$(apt-config shell value "$setting")"
	[ -z "$value" ] || printf '%s "%s";\n' "$setting" "$value"
done >"$work/apt.conf"
# As docker's Debian images: apt's binary caches would add 70 MB to each layer that installs something.
printf '%s\n' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' >>"$work/apt.conf"

# What runs last inside: nothing of this run (logs, caches, times, names) stays.
cat >"$work/finish.sh" <<'FINISH'
set -eu
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/cache/ldconfig/* \
	/var/cache/debconf/*-old /var/lib/dpkg/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- \
	/etc/.pwd.lock /var/log/bootstrap.log /var/log/alternatives.log /var/log/dpkg.log /var/log/apt/* \
	/var/lib/systemd/catalog/database /run/* /tmp/* /debootstrap
: >/etc/machine-id
# Both must be there, empty: what runs the image mounts its own over them.
: >/etc/resolv.conf
: >/etc/hostname
FINISH

say "debootstrap of $suite, first stage (downloads about 30 MB)"
if [ -n "$with_estiba" ]; then
	TAR_TO=$work/first.tar fakeroot sh "$work/first.sh" "$work" "$debootstrap" "$suite" "$mirror"
else
	sh "$work/first.sh" "$work" "$debootstrap" "$suite" "$mirror"
fi
epoch=$(cat "$work/epoch")
export SOURCE_DATE_EPOCH="$epoch"

# --- the second stage ----------------------------------------------------------------------------

say "debootstrap of $suite, second stage"
if [ -n "$with_estiba" ]; then
	mkdir "$work/context"
	mv "$work/first.tar" "$work/context/first.tar"
	# Without `container`, debootstrap wants to make device nodes, which no ordinary user may.
	cat >"$work/context/Dockerfile" <<-DOCKERFILE
		FROM scratch
		ADD first.tar /
		RUN export container=lxc SOURCE_DATE_EPOCH=$epoch && /debootstrap/debootstrap --second-stage && sh /tmp/finish.sh
	DOCKERFILE
	"$estiba" build --no-cache --output "type=tar,dest=$work/layer.tar" "$work/context" >"$work/second.log" 2>&1 || {
		tail -n 40 "$work/second.log" >&2
		die "the second stage failed"
	}
else
	chroot "$root" /debootstrap/debootstrap --second-stage >"$work/second.log" 2>&1 || {
		tail -n 20 "$work/second.log" "$root/debootstrap/debootstrap.log" >&2
		die "the second stage failed"
	}
	chroot "$root" sh /tmp/finish.sh
	tar --create --file "$work/layer.tar" --directory "$root" --format=posix --sort=name --numeric-owner \
		--xattrs --xattrs-include=security.capability --mtime="@$epoch" --clamp-mtime \
		--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
		--exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
fi
write_layout "$out" "$work/layer.tar" debian '["bash"]' "$epoch"
printf '%s\n' "$out"
