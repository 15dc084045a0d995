# escape=`
FROM a
RUN x `
  y
COPY c:\dir d
