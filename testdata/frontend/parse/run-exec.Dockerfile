FROM a
RUN ["a", "b c"]
RUN [ "a" ]
CMD ["c"]
