ARG A
ARG B=c
FROM x
ARG D="e f"
