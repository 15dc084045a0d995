# Sourced by run.sh: what the registry's checks are written in, besides ../words.sh.

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
