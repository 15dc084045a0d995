FROM debian:12
RUN one && \
    # a comment
    two && \
    three
ENV A=1 \
    B=2
COPY a \
  b /c/
