# Sourced by run.sh: builds killed at random moments, $ESTIBA_KILLS times (20).

attack_kill_builds() {
	context kills
	local kills=${ESTIBA_KILLS:-20} digest again took round pid fresh
	dockerfile <<-'DOCKERFILE'
		FROM busybox AS a
		RUN mkdir /out && i=0; while [ $i -lt 200 ]; do echo $i > /out/$i; i=$((i+1)); done
		FROM busybox
		COPY files /files
		RUN --mount=type=cache,target=/cache date >> /cache/log; sleep 0.05; cat /files/* | sha256sum > /sum
		COPY --from=a /out /out
		RUN rm -rf /files/f1 && chown 33:33 /sum && ln /sum /twin
	DOCKERFILE
	mkdir files
	for round in 1 2 3 4 5 6 7 8; do head -c 700000 /dev/urandom >"files/f$round"; done

	# The uninterrupted build, in a store of its own.
	export ESTIBA_ROOT="$work/kill-reference"
	works "$estiba" load -i "$BUSYBOX_LAYOUT"
	took=$EPOCHREALTIME
	works "${build[@]}" --reproducible --iidfile "$work/iid" -t killed .
	took=$(awk "BEGIN { printf \"%.3f\", $EPOCHREALTIME - $took }")
	digest=$(cat "$work/iid")

	export ESTIBA_ROOT="$work/kill-store"
	works "$estiba" load -i "$BUSYBOX_LAYOUT"
	for ((round = 0; round < kills; round++)); do
		# In two of three rounds everything is done again, so that every moment can be hit; the third
		# goes on with what the others left.
		fresh=
		((round % 3 == 2)) || fresh=--no-cache
		"${build[@]}" $fresh --reproducible -t killed . >>"$work/log" 2>&1 </dev/null &
		pid=$!
		sleep "$(awk "BEGIN { srand($round + $$); printf \"%.3f\", rand() * $took * 1.1 }")"
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	works "${build[@]}" --reproducible --iidfile "$work/iid" -t killed .
	again=$(cat "$work/iid")
	[ "$digest" = "$again" ] || bad "after $kills kills the image is $again instead of $digest"
	works "$estiba" run --rm killed sh -c 'cat /files/* | sha256sum; ls /out | wc -l'
	printed 200

	# What the killed builds left is gone after a prune.
	works "$estiba" rmi -f killed
	works "$estiba" rmi -f busybox
	works "$estiba" prune -af
	local litter
	litter=$(cd "$ESTIBA_ROOT" && find blobs ingest snapshots tocs leases locks mounts -mindepth 1 \( -type f -o -path 'snapshots/*' \) 2>/dev/null | grep -v '^blobs/[^/]*$' | head -n 20)
	[ -z "$litter" ] || { printf '%s\n' "$litter" >>"$work/log"; bad "prune left litter"; }
	! pgrep -u "$(id -u)" -f "$work/kill-store" >>"$work/log" || bad "processes of killed builds live on"
}

attack_interrupted_build_ends() {
	context interrupt
	# A time that no other process sleeps.
	local nap=1234.$$ pid code
	printf 'FROM busybox\nRUN echo begun > /x\nRUN sleep %s\n' "$nap" >Dockerfile
	# Without job control, a shell starts what runs in the background with interrupts ignored.
	set -m
	"${build[@]}" --no-cache . >"$work/interrupted" 2>&1 </dev/null &
	pid=$!
	for _ in $(seq 100); do
		! pgrep -f "sleep $nap" >/dev/null || break
		sleep 0.1
	done
	kill -INT "$pid"
	wait "$pid"
	code=$?
	cat "$work/interrupted" >>"$work/log"
	[ "$code" = 130 ] || bad "an interrupted build ended with $code, not 130"
	sleep 0.3
	! pgrep -f "sleep $nap" >>"$work/log" || bad "its processes live on"
}
