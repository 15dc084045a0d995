FROM x
HEALTHCHECK --interval=5s CMD ["a", "b"]
HEALTHCHECK CMD curl x
