# Sourced by run.sh: build contexts that hold what they should not.

attack_context_fifo_and_socket() {
	context special
	printf 'FROM busybox\nCOPY . /all/\n' >Dockerfile
	mkfifo pipe
	echo kept >file
	# It may be left out or refused, but a fifo must not be opened: that would wait for ever.
	LIMIT=15 says "${build[@]}" .
	if command -v perl >/dev/null; then
		perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
		rm pipe
		LIMIT=15 says "${build[@]}" .
	fi
}

attack_context_unreadable_file() {
	[ "$(id -u)" != 0 ] || cannot "root reads everything"
	context unreadable
	printf 'FROM busybox\nCOPY . /all/\n' >Dockerfile
	echo secret >closed
	chmod 0 closed
	refuses 'closed' "${build[@]}" .
	# What no COPY selects need not be readable.
	printf 'FROM busybox\nCOPY Dockerfile /\n' >Dockerfile
	works "${build[@]}" .
}

attack_context_link_loop() {
	context loop
	printf 'FROM busybox\nCOPY . /all/\n' >Dockerfile
	ln -s b a && ln -s a b && ln -s . self
	LIMIT=15 tree
	grep -q 'all/self -> \.$' <<<"$tree" || bad "the link to its own folder is gone"
	printf 'FROM busybox\nCOPY a /x\n' >Dockerfile
	LIMIT=15 says "${build[@]}" .
}

attack_context_link_that_leaves() {
	context leaves
	mkdir -p "$work/outside"
	echo 'not yours' >"$work/outside/secret"
	ln -s "$work/outside/secret" direct
	ln -s ../../outside up
	printf 'FROM busybox\nCOPY direct /x\n' >Dockerfile
	says "${build[@]}" --output "type=tar,dest=$work/leak.tar" .
	! grep -aq 'not yours' "$work/leak.tar" 2>/dev/null || bad "a link in the context gave a file of the host away"
	printf 'FROM busybox\nCOPY up/secret /x\n' >Dockerfile
	says "${build[@]}" --output "type=tar,dest=$work/leak.tar" .
	! grep -aq 'not yours' "$work/leak.tar" 2>/dev/null || bad "a linked folder in the context gave a file of the host away"
	printf 'FROM busybox\nCOPY ../../outside/secret /x\n' >Dockerfile
	says "${build[@]}" --output "type=tar,dest=$work/leak.tar" .
	! grep -aq 'not yours' "$work/leak.tar" 2>/dev/null || bad "'..' gave a file of the host away"
}

attack_context_bind_mount_that_leaves() {
	context bind
	mkdir -p "$work/outside"
	echo 'not yours' >"$work/outside/secret"
	ln -s "$work/outside" link
	printf 'FROM busybox\nRUN --mount=type=bind,source=link,target=/in cat /in/secret\n' >Dockerfile
	says "${build[@]}" .
	[[ $said != *'not yours'* ]] || bad "a bind mount followed a link out of its context"
	printf 'FROM busybox\nRUN --mount=type=bind,source=../../outside,target=/in cat /in/secret\n' >Dockerfile
	says "${build[@]}" .
	[[ $said != *'not yours'* ]] || bad "a bind mount left its context by '..'"
}

attack_context_that_changes() {
	context changes
	printf 'FROM busybox\nCOPY . /all/\n' >Dockerfile
	head -c 20000000 /dev/urandom >large
	(
		while [ ! -e "$work/changed-enough" ]; do
			head -c 30000000 /dev/urandom >>large
			: >large
			echo x >"new.$RANDOM"
			rm -f new.*
		done
	) &
	# Whatever it answers: no crash, and the image that it makes, if any, is sound.
	for _ in 1 2 3; do LIMIT=60 says "${build[@]}" -t changing .; done
	: >"$work/changed-enough"
	wait
	echo still >large
	works "${build[@]}" -t changing .
	works "$estiba" run --rm changing cat /all/large
	printed still
}

attack_context_names() {
	context names
	printf 'FROM busybox\nCOPY . /all/\n' >Dockerfile
	: >"$(printf 'new\nline')"
	: >"$(printf 'not-utf8-\377')"
	: >' -rf *'
	mkdir -p "$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))"
	: >"$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/deep"
	works "${build[@]}" -t names .
	works "$estiba" run --rm names sh -c 'find /all | wc -l'
	# The line that is broken counts twice.
	printed 9
}
