# The server in a container.
#
#     docker build -t local-graders .
#     docker run --rm -p 127.0.0.1:8321:8321 -e GRADERS_TOKEN=... local-graders
#
# The engine's default seccomp profile lets no user namespaces through. The sandbox then takes the next tier by itself,
# linux-landlock, and says so when it starts; docs/serving.md has what that means and how to get linux-full.

FROM python:3.12-slim

# Not root: what gets out of a sandbox would be an ordinary user of the container.
RUN useradd --create-home --uid 10001 graders

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY graders graders
COPY sandbox sandbox
RUN pip install --no-cache-dir -c constraints.txt '.[speed,yaml]' && rm -rf /src

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
