# Sourced by run.sh: the server that is tried. One at a time; $at is its host:port, $url its base.
server= at= url= login= suffix=

# start_server NAME ARGUMENTS...: serves the data directory $work/NAME on a free port of loopback.
start_server() {
	local name=$1 port tries
	shift
	for tries in 1 2 3 4 5; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		at=127.0.0.1:$port
		"$estiba" registry serve --addr "$at" --root "$work/$name" "$@" >"$work/server.log" 2>&1 </dev/null &
		server=$!
		url=${scheme:-http}://$at
		! wait_for_server || return 0
		stop_server
		grep -qi 'in use' "$work/server.log" || break
	done
	printf 'the server does not start: %s\n' "$(tail -n 3 "$work/server.log")" >"$work/why"
	cp "$work/server.log" "$work/log"
	return 1
}

# wait_for_server: until it answers anything at /v2/, or is gone, or ten seconds have passed.
wait_for_server() {
	local i
	for ((i = 0; i < 200; i++)); do
		kill -0 "$server" 2>/dev/null || return 1
		! curl --silent --insecure --output /dev/null --max-time 2 "$url/v2/" || return 0
		sleep 0.05
	done
	return 1
}

stop_server() {
	[ -n "$server" ] || return 0
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
}

# authority FOLDER: a test's own certificate authority, and a certificate for loopback signed by it.
authority() {
	mkdir -p "$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Test authority' \
		-addext basicConstraints=critical,CA:TRUE -keyout "$1/ca.key" -out "$1/ca.pem" 2>>"$work/log" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=localhost' -keyout "$1/server.key" -out "$1/server.csr" 2>>"$work/log" &&
		printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$1/ext" &&
		openssl x509 -req -in "$1/server.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 -extfile "$1/ext" -out "$1/server.pem" 2>>"$work/log"
}
