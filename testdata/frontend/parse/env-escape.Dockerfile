FROM a
ENV E=a\ b
