# Sourced by run.sh: the server killed at random moments under load, $ESTIBA_KILLS times (20).

kill_under_load() {
	needs python3
	local kills=${ESTIBA_KILLS:-20} round pusher port
	local record=$work/record
	mkdir -p "$record"
	trap 'stop_server' EXIT
	settings <<-TOML
		[gc]
		interval = "1s"
	TOML
	for ((round = 1; round <= kills; round++)); do
		start_server killed || exit 1
		timeout 60 python3 "$here/kills.py" push "$at" "$record" "$round" 20 >"$work/pushed" 2>&1 &
		pusher=$!
		# Early and late: some starts are killed before the first push is through.
		sleep "$(awk "BEGIN { srand($round * 7919 + $$); printf \"%.3f\", 0.05 + rand() * rand() * 3 }")"
		kill -9 "$server"
		wait "$server" 2>/dev/null
		server=
		wait "$pusher" || { cat "$work/pushed" >>"$work/log"; bad "kill $round of $kills: $(tail -n 1 "$work/pushed" | cut -c 1-300)"; }
		((round % 5 != 0 && round != kills)) || killed_check "$round"
	done
	local uploads
	uploads=$(cat "$record"/*.jsonl | grep -c '"resumed"')
	printf '%s kills: %s acknowledged pushes were there, %s uploads went on\n' "$kills" "$(cat "$record"/*.jsonl | grep -cE '^\{"(blob|tag|finished)"')" "$uploads" >&2
}

# killed_check ROUND: reads back all that was acknowledged so far, and has the data directory examined.
killed_check() {
	start_server killed || exit 1
	LIMIT=300 says python3 "$here/kills.py" check "$at" "$record"
	[ "$code" = 0 ] || bad "after $1 kills: $(tail -n 1 <<<"$said" | cut -c 1-300)"
	stop_server
	LIMIT=120 says "$estiba" registry fsck --root "$work/killed"
	[ "$code" = 0 ] || bad "after $1 kills fsck says: $(tail -n 3 <<<"$said" | cut -c 1-300)"
}
