ARG V=1
FROM --platform=linux/amd64 debian:$V AS a
FROM scratch
FROM a
