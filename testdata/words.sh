# Sourced by the checks from outside (attacks, registry): the words that they are written in. $work is the check's folder.

# Each ends the running check (they run in subshells).
bad() { printf '%s\n' "$1" >"$work/why"; exit 1; }
cannot() { printf '%s\n' "$1" >"$work/why"; exit 2; }
# needs PROGRAM...: what the check cannot be done without.
needs() {
	local program
	for program; do command -v "$program" >/dev/null || cannot "$program is not installed"; done
}

# says COMMAND...: runs with its output in $said and its exit code in $code; nothing may take a minute.
says() {
	said=$(timeout --kill-after=5 "${LIMIT:-60}" "$@" 2>&1 </dev/null | tr -d '\0'; exit "${PIPESTATUS[0]}")
	code=$?
	printf '$ %s\n%s\n(%s)\n' "$*" "${said:0:20000}" "$code" >>"$work/log"
	[ "$code" != 124 ] && [ "$code" != 137 ] || bad "it took more than ${LIMIT:-60} s: $*"
	[[ $said != *panicked* ]] || bad "it panicked: $*"
}

works() {
	says "$@"
	[ "$code" = 0 ] || bad "it failed: $*"
}

# refuses PATTERN COMMAND...: not 0, and words that match the extended expression.
refuses() {
	local pattern=$1
	shift
	says "$@"
	[ "$code" != 0 ] || bad "it succeeded: $*"
	grep -Eiq -- "$pattern" <<<"$said" || bad "its error says nothing of '$pattern': $*"
}

# printed TEXT: what the last command said has this line.
printed() { grep -Fxq -- "$1" <<<"$said" || bad "it did not print '$1'"; }
# mentions PATTERN: what the last command said matches the extended expression.
mentions() { grep -Eq -- "$1" <<<"$said" || bad "it said nothing of '$1'"; }
