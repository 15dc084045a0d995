# Sourced by run.sh: docker, whose daemon is what speaks to the registry. One daemon a setting, with folders and
# a socket of its own.
daemon=

stop_daemon() {
	[ -n "$daemon" ] || return 0
	kill "$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	daemon=
	# It mounts its own folder over itself, and one that did not get up leaves that.
	umount -q "$work"/dockerd-*/data 2>/dev/null
}

# start_daemon: no bridge and no iptables, so that nothing of the machine's network is touched.
start_daemon() {
	[ "$(id -u)" = 0 ] || cannot "only root can start docker's daemon"
	needs dockerd docker
	local folder=$work/dockerd-$suffix try
	mkdir -p "$folder"
	# Its containerd has fifteen seconds to start, which are few on a machine that is busy.
	for try in 1 2 3; do
		dockerd --host "unix://$folder/socket" --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
			--storage-driver vfs --bridge none --iptables=false --ip6tables=false >"$folder/log" 2>&1 </dev/null &
		daemon=$!
		! wait_for_daemon "$folder/socket" || return 0
		stop_daemon
	done
	tail -n 20 "$folder/log" >>"$work/log"
	cannot "docker's daemon does not start on this machine: $(tail -n 1 "$folder/log" | cut -c 1-200)"
}

# wait_for_daemon SOCKET: until it answers, or is gone, or a minute has passed.
wait_for_daemon() {
	local i
	for ((i = 0; i < 300; i++)); do
		kill -0 "$daemon" 2>/dev/null || return 1
		[ ! -S "$1" ] || ! docker -H "unix://$1" version >/dev/null 2>&1 || return 0
		sleep 0.2
	done
	return 1
}

client_docker() {
	start_daemon
	trap stop_daemon EXIT
	export DOCKER_HOST=unix://$work/dockerd-$suffix/socket
	[ -z "$login" ] || {
		refuses 'unauthorized|401|denied|incorrect' docker login --username "${login%:*}" --password wrong "$at"
		works docker login --username "${login%:*}" --password "${login#*:}" "$at"
	}
	works docker pull "$at/base:latest"
	works docker tag "$at/base:latest" "$at/docker:one"
	works docker push "$at/docker:one"
	works docker tag "$at/base:latest" "$at/docker/mounted:one"
	works docker push "$at/docker/mounted:one"
	works docker rmi -f "$at/docker:one" "$at/base:latest" "$at/docker/mounted:one"
	works docker pull "$at/docker:one"
	works docker pull --all-tags "$at/base"
	works docker manifest inspect --insecure "$at/docker:one"
	mentions 'vnd.docker.distribution.manifest.v2'
	works docker manifest create --insecure "$at/docker:list" "$at/docker:one"
	# To loopback it pushes lists without TLS, whatever it is told.
	[ -z "$login" ] || return 0
	works docker manifest push --insecure "$at/docker:list"
	works docker pull "$at/docker:list"
}
