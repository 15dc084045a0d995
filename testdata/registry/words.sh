# Sourced by run.sh: the words that checks are written in.

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

# fetch PATH [CURL ARGUMENTS...]: asks the server by curl; $code becomes the status, $said the headers and body.
fetch() {
	local path=$1
	shift
	code=$(curl --silent --show-error --max-time 30 ${login:+--user "$login"} --dump-header "$work/headers" --output "$work/body" --write-out '%{http_code}' "$@" "$url$path" 2>>"$work/log")
	said=$(cat "$work/headers" "$work/body" 2>/dev/null | tr -d '\0\r' | head -c 100000)
	printf 'curl %s %s\n%s\n' "$*" "$url$path" "${said:0:4000}" >>"$work/log"
}

# status CODE: what the last fetch was answered with.
status() { [ "$code" = "$1" ] || bad "answered $code instead of $1"; }

run_check() {
	local name=${1/_/\/}${suffix:+ ($suffix)}
	: >"$work/log"
	: >"$work/why"
	mkdir -p "$work/check"
	cd "$work/check" || exit 100
	("$1")
	case $? in
	0) printf 'ok %s%s\n' "$name" "$label" ;;
	2) printf 'skip %s%s: %s\n' "$name" "$label" "$(cat "$work/why")" ;;
	*)
		failures=$((failures + 1))
		printf 'FAIL %s%s: %s\n' "$name" "$label" "$(cat "$work/why")"
		tail -n 40 "$work/log" | sed 's/^/    /'
		[ ! -s "$work/server.log" ] || tail -n 15 "$work/server.log" | cut -c 1-400 | sed 's/^/    server: /'
		;;
	esac
	cd "$work" || exit 100
	rm -rf "$work/check"
}

# run_all WORD: every check whose function begins with it.
run_all() {
	local name names
	mapfile -t names < <(declare -F | sed -n "s/^declare -f \($1_.*\)/\1/p")
	for name in "${names[@]}"; do run_check "$name"; done
}
