# A base that turns two files of its children into an image.
FROM debian
ONBUILD COPY packages.txt /tmp/packages.txt
ONBUILD RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive xargs -a /tmp/packages.txt apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /tmp/packages.txt
ONBUILD COPY --chmod=0755 app /usr/local/bin/app
CMD ["app"]
