# Sourced by run.sh: Dockerfiles that nobody means well with. None may cost much time or memory.

attack_dockerfile_binary() {
	context binary
	head -c 100000 /dev/urandom >Dockerfile
	LIMIT=20 refuses 'Dockerfile' "${build[@]}" .
}

attack_dockerfile_100_mb() {
	context large
	{
		echo 'FROM busybox'
		yes 'RUN echo a line that is not short at all, so that many of them make a lot' | head -c 104857600
	} >Dockerfile
	LIMIT=20 refuses 'Dockerfile' "${build[@]}" .
}

attack_dockerfile_million_stages() {
	context stages
	awk 'BEGIN { for (i = 0; i < 1000000; i++) print "FROM busybox AS s" i }' >Dockerfile
	LIMIT=30 says "${build[@]}" .
}

attack_dockerfile_one_endless_line() {
	context line
	{ printf 'FROM busybox\nRUN true '; head -c 30000000 /dev/zero | tr '\0' 'x'; } >Dockerfile
	LIMIT=30 refuses '.' "${build[@]}" .
}

attack_dockerfile_cyclic_stages() {
	context cycle
	dockerfile <<-'DOCKERFILE'
		FROM busybox AS a
		COPY --from=b /x /x
		FROM busybox AS b
		COPY --from=a /x /x
	DOCKERFILE
	refuses 'Dockerfile:[24]:.*circle' "${build[@]}" .
}

attack_dockerfile_unknown_flag() {
	context flag
	dockerfile <<-'DOCKERFILE'
		FROM busybox
		COPY --chwon=1:1 Dockerfile /
	DOCKERFILE
	refuses 'did you mean' "${build[@]}" .
	[[ $said == *Dockerfile:2:* ]] || bad "its error names no line"
}

attack_dockerfile_deep_onbuild() {
	context onbuild
	dockerfile <<-'DOCKERFILE'
		FROM busybox
		ONBUILD ONBUILD RUN true
	DOCKERFILE
	refuses 'ONBUILD' "${build[@]}" .
}

attack_dockerfile_missing() {
	context missing
	refuses 'Dockerfile' "${build[@]}" .
	refuses 'nowhere' "${build[@]}" -f nowhere .
	refuses 'nowhere' "${build[@]}" "$work/contexts/nowhere"
}

attack_dockerfile_is_a_folder_or_fifo() {
	context odd
	mkdir Dockerfile
	LIMIT=10 refuses 'Dockerfile' "${build[@]}" .
	rmdir Dockerfile
	mkfifo Dockerfile
	LIMIT=10 refuses 'Dockerfile' "${build[@]}" .
}
