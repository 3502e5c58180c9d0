# The server in a container.
#
#     docker build -t local-graders .
#     docker run --rm -p 127.0.0.1:8321:8321 -e GRADERS_TOKEN=... local-graders
#
# The engine's default seccomp profile lets no user namespaces through. The sandbox then takes the next tier by itself,
# linux-landlock, and says so when it starts; docs/serving.md has what that means and how to get linux-full.

# By digest, since a tag moves: Python 3.12.14 on Debian 13, the index of all its platforms. A newer one, with the base's security
# fixes, is --build-arg BASE=python:3.12-slim@sha256:..., by the digest that `docker buildx imagetools inspect` prints.
ARG BASE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea
FROM ${BASE}

# "image", or "image-hosted" for graders that import the packages of the hosted service's image (some 700 MB more).
ARG PACKAGES=image

# Not root: what gets out of a sandbox would be an ordinary user of the container.
RUN useradd --create-home --uid 10001 graders

WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY requirements requirements
RUN pip install --no-cache-dir --require-hashes -r requirements/${PACKAGES}.txt
COPY graders graders
COPY sandbox sandbox
COPY trainer trainer
COPY examples examples
RUN PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir --no-deps . && rm -rf /src

USER graders
WORKDIR /home/graders
ENV PYTHONUNBUFFERED=1

EXPOSE 8321
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthz', timeout=4)"]

# SIGTERM drains; `docker stop` gives 10 s, so the drain is shorter. Without GRADERS_TOKEN the server refuses to start.
STOPSIGNAL SIGTERM
ENTRYPOINT ["grader"]
CMD ["serve", "--host", "0.0.0.0", "--drain", "8"]
