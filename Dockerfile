# The agent, the control API and every other command, in one image.
#
#   docker build --build-arg VERSION=$(git describe --always) --build-arg REVISION=$(git rev-parse HEAD) -t portcullis .
#   docker run --network host --cap-drop ALL --cap-add NET_ADMIN --security-opt no-new-privileges --read-only \
#     --tmpfs /run/portcullis:mode=0755 -v /etc/portcullis:/etc/portcullis:ro portcullis agent --source file:/etc/portcullis/topology
#   docker run --user portcullis --cap-drop ALL --security-opt no-new-privileges --read-only --no-healthcheck -p 9696:9696 \
#     -v portcullis:/var/lib/portcullis -v /etc/portcullis:/etc/portcullis:ro portcullis api --listen 0.0.0.0:9696 ...
#
# The firewall is the host's, so the agent's container shares its network. Root without capabilities but NET_ADMIN is the least that
# works: nft needs that one, and a user of its own would need it as a file's capability, which no-new-privileges forbids. The API needs
# nothing of the sort: it runs as the user portcullis (9696), to whom the folder of the store belongs.

# Any Debian-like images with Node 20.19 or newer; the first one with npm. By digest: the same bytes, whoever builds it and when.
ARG BUILD_IMAGE=node:22-bookworm@sha256:363e1587494626837fa7f9a23bdb453d13b0ff3c67c705c2805cfc69c2d2fad7
ARG BASE_IMAGE=node:22-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --prefer-offline --ignore-scripts
COPY tsconfig.json ./
COPY src src
COPY compiler compiler
COPY agent agent
COPY scripts/bundle.mjs scripts/bundle.mjs
RUN node_modules/.bin/tsc -p tsconfig.json --sourceMap false --declaration false --incremental false \
    && node scripts/bundle.mjs && npm prune --omit=dev --ignore-scripts

FROM ${BASE_IMAGE}
# A base image that has nft already is taken as it is.
RUN command -v nft > /dev/null || { apt-get update && apt-get install -y --no-install-recommends nftables iptables ipset \
    && rm -rf /var/lib/apt/lists/*; }
RUN useradd --system --uid 9696 --user-group --home-dir /var/lib/portcullis --create-home --shell /usr/sbin/nologin portcullis
COPY --from=build /build/node_modules /usr/lib/portcullis/node_modules
COPY --from=build /build/dist /usr/lib/portcullis/dist
COPY package.json LICENSE /usr/lib/portcullis/
COPY systemd /usr/lib/portcullis/systemd
RUN chmod 755 /usr/lib/portcullis/dist/bin/portcullis.js \
    && ln -s /usr/lib/portcullis/dist/bin/portcullis.js /usr/bin/portcullis
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Portcullis" \
      org.opencontainers.image.description="Security groups of OpenStack in the packet filter of a compute host" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["portcullis", "status", "--health"]
ENTRYPOINT ["portcullis"]
CMD ["--help"]
