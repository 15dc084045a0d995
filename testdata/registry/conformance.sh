# Sourced by run.sh: the specification's own conformance program.
#
# It is a program of Go's, level `dev`: what the main branch of the specification says. $CONFORMANCE names a
# built one; else the pinned module is installed, where Go and a proxy that has it are.

# A commit of the main branch: newer ones move the number of checks.
CONFORMANCE_MODULE=github.com/opencontainers/distribution-spec/conformance@97274622c11112caa21efb8c52acca3c6b8fa7f1
# How many of its checks must pass: it has 1,032 or 1,030 by the way it counts pushes that it repeats.
CONFORMANCE_PASSES=1030

conformance_specification() {
	local program=${CONFORMANCE:-} passed
	if [ -z "$program" ]; then
		needs go
		go_is 1.24 || cannot "the conformance program needs Go 1.24, here is $(go env GOVERSION)"
		GOBIN=$work/go LIMIT=300 says go install "$CONFORMANCE_MODULE"
		[ "$code" = 0 ] || cannot "the conformance program cannot be fetched here: name a built one by CONFORMANCE"
		program=$work/go/conformance
	fi
	trap stop_server EXIT
	start_server conformance --allow-sparse || exit 1
	says env OCI_REGISTRY="$at" OCI_TLS=disabled OCI_REPO1=conformance/repo1 OCI_REPO2=conformance/repo2 \
		OCI_VERSION=dev OCI_DATA_SPARSE=true OCI_RESULTS_DIR="$work/results" "$program"
	stop_server
	sed -n '/Conformance Result/,$p' <<<"$said" >"$work/log"
	grep -B3 -- ' - ' <<<"$said" | head -n 60 >>"$work/log"
	[ "$code" = 0 ] || bad "the conformance program ended with $code"
	passed=$(sed -n 's/^ *Pass\.*: *\([0-9]*\)$/\1/p' <<<"$said" | head -n 1)
	[ "${passed:-0}" -ge "$CONFORMANCE_PASSES" ] || bad "${passed:-none} of the conformance program's checks passed, fewer than $CONFORMANCE_PASSES"
	printf '%s checks of the conformance program passed\n' "$passed" >&2
}

# go_is VERSION: whether Go is at least that new.
go_is() {
	local have
	have=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
	[ "$(printf '%s\n%s\n' "$1" "$have" | sort -V | head -n 1)" = "$1" ]
}
