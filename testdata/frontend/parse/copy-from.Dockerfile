FROM a AS b
FROM c
COPY --from=b /x /y
COPY --from=b --chown=1:2 /x /y
