FROM debian:12 AS build
ARG V=1
ENV A=1 B=two
LABEL a=b c="d e"
RUN make all
COPY src/ lib/ /app/
CMD ["sh", "-c"]
ENTRYPOINT exec program
