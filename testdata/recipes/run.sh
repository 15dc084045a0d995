#!/bin/bash
# Runs the CI recipes of examples/ci against a registry of our own, each where a runner of its kind would run it.
#
# usage: run.sh      $ESTIBA is the binary, $BUSYBOX_LAYOUT the base image
#
# Each recipe runs twice, the second time with an empty store: then the cache of the registry must have everything. Prints
# "ok NAME", "FAIL NAME: why" or "skip NAME: why"; ends with the number of failures.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipes=$here/../../examples/ci
estiba=$(command -v "${ESTIBA:-estiba}") || { echo "FAIL recipes: there is no estiba"; exit 1; }
failures=0
server=

work=$(mktemp -d /var/tmp/estiba-recipes.XXXXXX) || exit 100
chmod 0755 "$work"
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	chmod -R u+rwx "$work" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
	failures=$((failures + 1))
	printf 'FAIL %s: %s\n' "$1" "$2"
	[ ! -f "$work/log" ] || tail -n 30 "$work/log" | sed 's/^/    /'
}
skip() { printf 'skip %s: %s\n' "$1" "$2"; }

# --- the registry, and what is built ---------------------------------------------------------------

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
registry=127.0.0.1:$port
"$estiba" registry serve --root "$work/registry" --addr "$registry" --anonymous all >"$work/server.log" 2>&1 </dev/null &
server=$!
for _ in $(seq 100); do
	curl -fsS "http://$registry/v2/" >/dev/null 2>&1 && break
	sleep 0.1
done
"$estiba" copy "oci:$BUSYBOX_LAYOUT" "docker://$registry/busybox:latest" >"$work/log" 2>&1 || { fail recipes "the base could not be pushed"; exit 1; }

secret=a-secret-that-nothing-may-keep
# What the Dockerfile may know of it.
known=$(printf %s "$secret" | sha256sum | cut -c1-16)
lay_sources() {
	mkdir -p "$1"
	echo "print('hello')" >"$1/main.py"
	cat >"$1/Dockerfile" <<-DOCKERFILE
		FROM $registry/busybox
		RUN --mount=type=secret,id=api-token,env=API_TOKEN test "\$(printf %s "\$API_TOKEN" | sha256sum | cut -c1-16)" = $known
		RUN --mount=type=cache,target=/cache,id=recipes echo built >>/cache/log && wc -l </cache/log >/count
		COPY main.py /app/
		CMD ["cat", "/app/main.py"]
	DOCKERFILE
}

# --- where recipes run -----------------------------------------------------------------------------

# as_user USER HOME SCRIPT: as an ordinary user. no_new_privs as well where $no_new_privs says so.
as_user() {
	local options=(--reuid "$1" --regid "$1" --init-groups)
	[ -z "${no_new_privs:-}" ] || options+=(--no-new-privs)
	chown -R "$1" "$2"
	(cd "$2/source" && setpriv "${options[@]}" env -i "${environment[@]}" HOME="$2" PATH="$work/bin:/usr/bin:/bin:/usr/sbin:/sbin" sh -e "$3")
}

# in_container HOME SCRIPT: as root of a container with the runtime's default capabilities and its seccomp profile.
in_container() {
	local options=() pair
	for pair in "${environment[@]}"; do options+=(--env "$pair"); done
	podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs --runtime runc run --rm --pull never --network host \
		--ulimit nofile=1024:1024 --ulimit nproc=10000:10000 -v "$work/bin/estiba:/usr/bin/estiba:ro" -v "$1:$1" "${options[@]}" \
		--env HOME="$1" -w "$1/source" busybox sh -e "$2"
}

can_contain() {
	command -v podman >/dev/null && PATH=$PATH:/usr/sbin command -v runc >/dev/null || return 1
	[ -d "$work/podman" ] ||
		skopeo copy -q --insecure-policy "oci:$BUSYBOX_LAYOUT" "containers-storage:[vfs@$work/podman+$work/podman-run]docker.io/library/busybox:latest" >"$work/log" 2>&1 || return 1
	podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs --runtime runc run --rm --pull never --network host \
		--ulimit nofile=1024:1024 --ulimit nproc=10000:10000 busybox true >"$work/log" 2>&1
}

# recipe NAME SCRIPT-FILE RUNNER...: runs it twice, and looks at what came of it.
recipe() {
	local name=$1 script=$2 round home image=$registry/team/$1
	shift 2
	environment=(REGISTRY="$registry" IMAGE="$image" TAG=one CI_REGISTRY="$registry" REGISTRY_USER=me REGISTRY_PASSWORD=word CI_REGISTRY_USER=me
		CI_REGISTRY_PASSWORD=word REGISTRY_LOGIN_USR=me REGISTRY_LOGIN_PSW=word API_TOKEN="$secret")
	for round in first second; do
		home=$work/$name-$round
		lay_sources "$home/source"
		cp "$script" "$home/script"
		: >"$work/log"
		if ! "$@" "$home" "$home/script" >>"$work/log" 2>&1 </dev/null; then
			fail "$name" "its $round run ended with an error"
			return
		fi
	done
	# What is found as a whole is not looked for step by step.
	if ! grep -q ' CACHED$' "$work/log" || grep -q '^#[0-9]* \[.*\] RUN' "$work/log"; then
		fail "$name" "the second machine ran what the cache has"
		return
	fi
	curl -fsS -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$registry/v2/team/$name/manifests/one" | grep -q attestation-manifest ||
		{ fail "$name" "the pushed image has no attestations"; return; }
	if grep -rqsF "$secret" "$work/registry" "$work/$name-first/.local" "$work/$name-second/.local" "$work/log"; then
		fail "$name" "the secret is in the registry, a store or a log"
		return
	fi
	printf 'ok %s\n' "$name"
}

# --- the recipes -----------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || { skip recipes "only root can run a command as other users, and start containers"; exit 0; }
mkdir "$work/bin"
install -m 0755 "$estiba" "$work/bin/estiba"
script() { python3 "$here/scripts.py" "$recipes/$1" ${2:+"$2"} >"$work/$3.sh" || { fail "$3" "its script was not found"; return 1; }; }
user() { id "$1" >/dev/null 2>&1 || { skip "$2" "there is no user $1"; return 1; }; }

as_sub() { as_user estiba-sub "$@"; }
as_plain() { no_new_privs=yes as_user estiba-plain "$@"; }

script github-actions.yml "" github-actions && user estiba-sub github-actions && recipe github-actions "$work/github-actions.sh" as_sub
script Jenkinsfile "" jenkins && user estiba-sub jenkins && recipe jenkins "$work/jenkins.sh" as_sub
script kubernetes.yaml build-as-user kubernetes-user && user estiba-plain kubernetes-user && recipe kubernetes-user "$work/kubernetes-user.sh" as_plain
if can_contain; then
	script gitlab-ci.yml "" gitlab && recipe gitlab "$work/gitlab.sh" in_container
	script kubernetes.yaml build-as-root-of-the-container kubernetes-root && recipe kubernetes-root "$work/kubernetes-root.sh" in_container
else
	skip "gitlab, kubernetes-root" "podman and runc do not start a container here: $(tail -n 1 "$work/log" 2>/dev/null)"
fi
exit "$failures"
