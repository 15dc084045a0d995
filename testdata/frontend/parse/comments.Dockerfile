# syntax=docker/dockerfile:1
# a comment
FROM a

# another
RUN x # not a comment
