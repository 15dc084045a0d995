# Sourced by run.sh: containers whose commands and supervisors are killed at random moments, $ESTIBA_KILLS times (20).

# A process by its number and when it started.
lives() { [ "$(awk '{ sub(/.*\) /, ""); print ($1 == "Z") ? "" : $20 }' "/proc/$1/stat" 2>/dev/null)" = "$2" ]; }

# field FILE PATH: a number of a state file, as {"supervisor":{"pid":1,"start":2}} has it.
field() { sed -n "s/.*\"$2\":{\"pid\":\([0-9]*\),\"start\":\([0-9]*\)}.*/\1 \2/p" "$1" 2>/dev/null; }

# Every state that says that something runs is true.
states_are_true() {
	local state pid start id
	while read -r id; do
		[ -n "$id" ] || continue
		state=$ESTIBA_ROOT/containers/$id/state.json
		[ -e "$state" ] || continue
		grep -q '"status":"running"' "$state" || continue
		read -r pid start < <(field "$state" init)
		lives "${pid:-0}" "${start:-0}" || {
			# It may have ended while we looked.
			sleep 0.2
			"$estiba" ps -aq >/dev/null 2>&1
			! grep -q '"status":"running"' "$state" 2>/dev/null || lives $(field "$state" init) || return 1
		}
	done < <("$estiba" ps -aq --no-trunc 2>>"$work/log")
}

# One thing that people do to containers, by chance.
some_command() {
	local name=kill$((RANDOM % 4))
	case $((RANDOM % 8)) in
	0 | 1) "$estiba" run -d --name "$name" --network none "$@" ;;
	2) "$estiba" run --rm --network none "$@" ;;
	3) "$estiba" create --name "$name" "$@" ;;
	4) "$estiba" start "$name" ;;
	5) "$estiba" stop -t 0 "$name" ;;
	6) "$estiba" restart -t 0 "$name" ;;
	7) "$estiba" rm -f "$name" ;;
	esac
}

attack_kill_containers() {
	context kill-containers
	local kills=${ESTIBA_KILLS:-20} round pid state victim start nap=4321.$$ left
	export ESTIBA_ROOT="$work/kill-containers"
	works "$estiba" load -i "$BUSYBOX_LAYOUT"
	RANDOM=$$
	for ((round = 0; round < kills; round++)); do
		# In its own shell, which becomes the command: it is that which is killed.
		(some_command busybox sleep "$nap") >>"$work/log" 2>&1 </dev/null &
		pid=$!
		sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
		if ((round % 2)); then
			pkill -9 -P "$pid" 2>/dev/null
		else
			for state in "$ESTIBA_ROOT"/containers/*/state.json; do
				victim=
				read -r victim start < <(field "$state" supervisor)
				[ -n "$victim" ] && lives "$victim" "$start" && kill -9 "$victim" 2>/dev/null && break
			done
			sleep "0.0$((RANDOM % 10))"
			pkill -9 -P "$pid" 2>/dev/null
		fi
		wait "$pid" 2>/dev/null
		ls -A "$ESTIBA_ROOT/containers" >>"$work/ids" 2>/dev/null
		((round % 5)) || states_are_true || bad "after $round kills a container is said to run that does not"
	done
	states_are_true || bad "a container is said to run that does not"

	# What is left can be removed, and nothing stays of it.
	works "$estiba" rm --all --force
	works "$estiba" container prune --force
	left=$("$estiba" ps -aq)
	[ -z "$left" ] || bad "containers that cannot be removed: $left"
	left=$(cd "$ESTIBA_ROOT" && find containers pins -mindepth 1 ! -path containers/names ! -path containers/gate ! -name 'events*' 2>/dev/null | head -n 20)
	[ -z "$left" ] || { printf '%s\n' "$left" >>"$work/log"; bad "files of containers are left"; }
	sleep 0.3
	! pgrep -f "sleep $nap" >>"$work/log" || bad "processes of containers live on"
	! grep -a "$ESTIBA_ROOT" /proc/mounts >>"$work/log" || bad "mounts of containers are left"
	# Others may have containers here, too.
	left=$(find /sys/fs/cgroup -type d -regextype posix-extended -regex '.*/[0-9a-f]{64}' 2>/dev/null | grep -F -f <(tr -d . <"$work/ids" | grep -E '^[0-9a-f]{64}$' | sort -u) | head -n 5)
	[ -z "$left" ] || { printf '%s\n' "$left" >>"$work/log"; bad "control groups of containers are left"; }
	works "$estiba" run --rm busybox echo alive
	printed alive
}
