# Sourced by run.sh: what the server must bear. The bytes are sent by attacks.py.

# attack NAME ARGUMENTS...: starts a server with ARGUMENTS, and lets attacks.py try it as NAME.
attack() {
	local name=$1
	shift
	needs python3
	trap 'stop_server' EXIT
	start_server "attack-$name" "$@" || exit 1
	assail "$name"
	kill -0 "$server" || bad "the server is gone"
	! grep -q panicked "$work/server.log" || bad "the server panicked"
}

# assail NAME: attacks.py against the server as it runs.
assail() {
	LIMIT=120 says env SERVER_PID="$server" LOGIN="${login:-}" OTHER=bob:builder python3 "$here/attacks.py" "$1" "$at"
	[ "$code" = 0 ] || bad "$(tail -n 1 <<<"$said" | cut -c 1-400)"
}

# settings: writes the configuration that start_server is to read, from standard input.
settings() { cat >"$work/attack.toml"; }

# users: ada may do everything, bob what the policy says.
users() {
	needs htpasswd
	htpasswd -cbB -C 5 "$work/htpasswd" ada lovelace 2>>"$work/log"
	htpasswd -bB -C 5 "$work/htpasswd" bob builder 2>>"$work/log"
	login=ada:lovelace
}

attack_traversal() {
	local before after
	# What is beside the data directory must stay as it is.
	mkdir -p "$work/attack-traversal"
	before=$(find "$work" -path "$work/attack-traversal" -prune -o -type f -print | sort)
	attack traversal
	after=$(find "$work" -path "$work/attack-traversal" -prune -o -type f -print | grep -v 'server.log$' | sort)
	[ "$after" = "$(grep -v 'server.log$' <<<"$before")" ] || bad "files appeared beside the data directory: $(diff <(printf '%s' "$before") <(printf '%s' "$after") | head -n 5)"
	[ -z "$(find "$work/attack-traversal/blobs" -type f -size -2 2>/dev/null | head -n 1)" ] || bad "a refused upload left a blob"
}

attack_numbers() { attack numbers; }
attack_documents() { attack documents; }

attack_injection() {
	settings <<-TOML
		[log]
		level = "debug"
		format = "text"
		audit = "$work/audit.log"
	TOML
	attack injection --config "$work/attack.toml"
	! grep -aE '^ *X-INJECTED' "$work/server.log" "$work/audit.log" >>"$work/log" 2>/dev/null || bad "a line of the log was injected"
	! grep -aP '\x1b\[31m' "$work/server.log" "$work/audit.log" >>"$work/log" 2>/dev/null || bad "an escape sequence reached the log"
}

attack_slow_clients() {
	settings <<-TOML
		[server.limits]
		header_timeout = "2s"
		body_timeout = "2s"
	TOML
	attack slow --config "$work/attack.toml"
}

attack_slow_readers() { attack slow_reader; }
attack_crowd() { attack crowd; }

attack_sessions() {
	users
	settings <<-TOML
		[auth]
		anonymous = "none"
		htpasswd = "$work/htpasswd"
	TOML
	attack sessions --config "$work/attack.toml"
}

attack_rights() {
	users
	cat >"$work/policy.toml" <<-'TOML'
		[[rule]]
		who = { user = ["ada"] }
		repositories = ["**"]
		allow = ["pull", "push", "update", "delete"]
		[[rule]]
		who = { user = ["bob"] }
		repositories = ["open/**"]
		allow = ["pull", "push"]
	TOML
	settings <<-TOML
		[auth]
		anonymous = "none"
		htpasswd = "$work/htpasswd"
		policy = "$work/policy.toml"
		[auth.token]
		enabled = true
	TOML
	attack rights --config "$work/attack.toml"
}

attack_deletes_off() {
	settings <<-TOML
		[storage]
		delete = false
	TOML
	attack deletes_off --config "$work/attack.toml"
}

attack_smuggling() { attack smuggling; }
attack_multiplexed() { attack multiplexed; }

# Where no rights are configured, nobody but this machine may be served.
attack_open_to_all() {
	refuses 'anonymous|auth' "$estiba" registry serve --addr 0.0.0.0:0 --root "$work/open"
	refuses 'anonymous|auth' "$estiba" registry serve --addr '[::]:0' --root "$work/open"
}

# One process owns a data directory.
attack_two_owners() {
	trap 'stop_server' EXIT
	start_server owned || exit 1
	refuses 'lock|another|owns|in use|runs' "$estiba" registry serve --addr 127.0.0.1:0 --root "$work/owned"
	fetch /v2/
	status 200
}

attack_full_disk() {
	[ "$(id -u)" = 0 ] || cannot "only root can make a small disk"
	mkdir -p "$work/small"
	mount -t tmpfs -o size=24m,mode=0755 small "$work/small" || cannot "no small disk can be mounted"
	trap 'stop_server; umount "$work/small"' EXIT
	settings <<-TOML
		[storage]
		reserve = "1MiB"
	TOML
	start_server small/root --config "$work/attack.toml" || exit 1
	assail disk
	kill -0 "$server" || bad "the server is gone"
	! grep -q panicked "$work/server.log" || bad "the server panicked"
	# With room again it goes on, without being asked.
	mount -o remount,size=64m "$work/small" || cannot "the small disk does not grow"
	# What is left is asked for four times a second.
	sleep 0.5
	login='' fetch "/v2/again/blobs/uploads/?digest=sha256:$(head -c 3000000 /dev/zero | sha256sum | cut -d' ' -f1)" \
		--request POST --header 'Content-Type: application/octet-stream' --data-binary @<(head -c 3000000 /dev/zero)
	status 201
	stop_server
	works "$estiba" registry fsck --root "$work/small/root"
}
