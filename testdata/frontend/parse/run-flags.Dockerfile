FROM a
RUN --mount=type=cache,target=/x --network=none make
