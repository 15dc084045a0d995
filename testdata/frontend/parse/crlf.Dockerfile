FROM a
RUN x \
  y
ENV A=1
