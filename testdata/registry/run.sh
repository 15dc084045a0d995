#!/bin/bash
# The registry from outside: a real `estiba registry serve`, and what speaks to registries.
#
# usage: run.sh [--label WORD] [PART|NAME...]      parts: conformance clients loop attacks kills page data (all)
#
# The binary is $ESTIBA (else estiba in the PATH). $BUSYBOX_LAYOUT is a layout of busybox as
# testdata/base/busybox.sh makes it; $CLIENTS a folder with crane, regctl and oras. $REGISTRY (host:port) names
# a server that runs already, over plain http and with deletes on: the clients then try that one.
#
# A check is a function PART_NAME. One that ends well is printed as "ok PART/NAME [LABEL]"; one that fails as
# "FAIL …: why" with the end of its log; one that cannot be done here as "skip …: why".
# Ends with the number of failures, at most 100.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
estiba=$(command -v "${ESTIBA:-estiba}") || { echo "FAIL registry: no estiba"; exit 1; }
label=
if [ "${1:-}" = --label ]; then
	label=" [$2]"
	shift 2
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/estiba-registry.XXXXXX") || exit 100
export PATH="${CLIENTS:+$CLIENTS:}$PATH:/usr/sbin:/sbin"
failures=0

. "$here/../words.sh"
. "$here/words.sh"
. "$here/server.sh"
. "$here/conformance.sh"
. "$here/clients.sh"
. "$here/daemon.sh"
. "$here/attacks.sh"
. "$here/kills.sh"
. "$here/page.sh"
. "$here/data.sh"
. "$here/ours.sh"

cleanup() {
	stop_server
	stop_daemon
	! mountpoint -q "$work/small" || umount "$work/small"
	chmod -R u+rwx "$work" 2>/dev/null
	rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/home" "$work/run"
chmod 0700 "$work/run"
# Nobody's own logins, configuration or images matter here.
export HOME="$work/home" XDG_RUNTIME_DIR="$work/run" XDG_CONFIG_HOME="$work/home/.config" XDG_DATA_HOME="$work/home/.local/share"

# report_setting CODE: why there is no server with a setting; tools that are missing are no failure.
report_setting() {
	if [ "$1" = 2 ]; then
		printf 'skip client/* (%s)%s: %s\n' "$suffix" "$label" "$(cat "$work/why")"
	else
		failures=$((failures + 1))
		printf 'FAIL client/* (%s)%s: %s\n' "$suffix" "$label" "$(cat "$work/why")"
		tail -n 20 "$work/log" | sed 's/^/    /'
	fi
}

part_conformance() { run_check conformance_specification; }

part_clients() {
	local setting
	for setting in plain basic token; do
		[ -z "${REGISTRY:-}" ] || [ "$setting" = plain ] || continue
		begin_setting "$setting" || { report_setting $?; continue; }
		run_all client
		stop_daemon
		stop_server
	done
	end_settings
}

part_loop() { run_all loop; }
part_attacks() { run_all attack; }
part_kills() { run_all kill; }
part_page() { run_all page; }
part_data() { run_all data; }

[ $# -gt 0 ] || set -- conformance clients loop attacks kills page data
for what; do
	case $what in
	conformance | clients | loop | attacks | kills | page | data) "part_$what" ;;
	client_*) begin_setting "${SETTING:-plain}" && run_check "$what" ;;
	*) run_check "$what" ;;
	esac
done
exit $((failures > 100 ? 100 : failures))
