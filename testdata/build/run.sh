#!/bin/bash
# Builds and runs the Dockerfiles beside this script and compares what they print.
#
# usage: run.sh [--label WORD] [NAME...]
#
# The binary is $ESTIBA (else estiba in the PATH), its store $ESTIBA_ROOT. `busybox` and `debian` are
# loaded from $BUSYBOX_LAYOUT and $DEBIAN_LAYOUT, which testdata/base/*.sh make, unless the store has them.
#
# Prints one line a case: "ok NAME [LABEL] SECONDS", "FAIL NAME [LABEL]: why" and the end of its log, or
# "skip NAME [LABEL]: why". Ends with the number of failures, at most 100.
#
# A case is a folder: a Dockerfile, its context, and `expect`. The lines of `expect` up to `---` say how:
#   first: FLAGS    a build that comes before        build: FLAGS    flags of the build
#   run: FLAGS      flags of the run                 args: WORDS     what follows the image's name
#   exit: N         the exit code of the run         owner: PATH UID/GID   what the image's file tree must say
# and the rest is what the run must print, byte by byte.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
estiba=${ESTIBA:-estiba}
label=
if [ "${1:-}" = --label ]; then
	label=" [$2]"
	shift 2
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/estiba-cases.XXXXXX") || exit 100
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failures=0

# The values of key $1 in the header of ./expect, one a line.
setting() { sed -n "/^---\$/q; s/^$1: *//p" expect; }

# log COMMAND...: runs it with its output kept for a failure's report.
log() {
	printf '$ %s\n' "$*" >>"$work/log"
	"$@" >>"$work/log" 2>&1 </dev/null
}

fail() {
	failures=$((failures + 1))
	printf 'FAIL %s%s: %s\n' "$name" "$label" "$1"
	tail -n 40 "$work/log" | sed 's/^/    /'
}

build() {
	# The values are words on purpose.
	# shellcheck disable=SC2086
	log "$estiba" build --progress=plain --ca-bundle system "$@" .
}

# What $1, an option's value such as "path 33/33", says of the tree in $work/tree.tar.
check_owner() {
	local path=${1% *} owner=${1##* } found
	found=$(tar --numeric-owner -tvf "$work/tree.tar" | awk -v path="$path" '{ sub("/$", "", $6); sub("^\\./", "", $6) } $6 == path { print $2 }')
	[ "$found" = "$owner" ] && return
	fail "$path belongs to '${found:-nobody: it is not there}', not to $owner"
	return 1
}

run_case() {
	: >"$work/log"
	cd "$here/$name" || return
	local started=$EPOCHREALTIME code wanted seconds
	if [ -n "$(setting first)" ]; then
		build $(setting first) || { fail "its first build failed"; return; }
	fi
	build -t "estiba-test/$name" $(setting build) || { fail "the build failed"; return; }
	printf '$ run\n' >>"$work/log"
	# shellcheck disable=SC2046
	"$estiba" run --rm $(setting run) "estiba-test/$name" $(setting args) >"$work/said" 2>>"$work/log" </dev/null
	code=$?
	wanted=$(setting exit)
	awk 'seen; /^---$/ { seen = 1 }' expect >"$work/wanted"
	if ! diff -u "$work/wanted" "$work/said" >>"$work/log"; then
		fail "it printed something else"
		return
	fi
	[ "$code" = "${wanted:-0}" ] || { fail "it ended with $code"; return; }
	if [ -n "$(setting owner)" ]; then
		build --output "type=tar,dest=$work/tree.tar" $(setting build) || { fail "its tree could not be written"; return; }
		while IFS= read -r owner; do
			check_owner "$owner" || return
		done < <(setting owner)
	fi
	seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $started }")
	printf 'ok %s%s %s s\n' "$name" "$label" "$seconds"
}

# have NAME LAYOUT: the store holds image NAME afterwards, or the cases cannot run.
have() {
	[ -n "$("$estiba" images -q "$1" 2>>"$work/log")" ] && return
	[ -n "$2" ] && log "$estiba" load -i "$2" && return
	printf 'FAIL %s%s: cannot be loaded from "%s"\n' "$1" "$label" "$2"
	sed 's/^/    /' "$work/log"
	exit 1
}

if [ $# = 0 ]; then
	cd "$here" || exit 100
	set -- */
fi
have busybox "${BUSYBOX_LAYOUT:-}"
have debian "${DEBIAN_LAYOUT:-}"
for name; do
	name=${name%/}
	run_case
done
exit $((failures > 100 ? 100 : failures))
