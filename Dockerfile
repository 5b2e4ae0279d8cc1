# The agent and every other command, in one image.
#
#   docker build -t portcullis .
#   docker run --network host --cap-drop ALL --cap-add NET_ADMIN --security-opt no-new-privileges --read-only \
#     --tmpfs /run/portcullis:mode=0755 -v /etc/portcullis:/etc/portcullis:ro portcullis agent --source file:/etc/portcullis/topology
#
# The firewall is the host's, so the container shares its network. Root without capabilities but NET_ADMIN is the least that
# works: nft needs that one, and a user of its own would need it as a file's capability, which no-new-privileges forbids.

# Any Debian-like images with Node 20.19 or newer; the first one with npm.
ARG BUILD_IMAGE=node:22-bookworm
ARG BASE_IMAGE=node:22-bookworm-slim

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
RUN command -v nft > /dev/null || { apt-get update && apt-get install -y --no-install-recommends nftables \
    && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /build/node_modules /usr/lib/portcullis/node_modules
COPY --from=build /build/dist /usr/lib/portcullis/dist
COPY package.json LICENSE /usr/lib/portcullis/
COPY systemd /usr/lib/portcullis/systemd
RUN chmod 755 /usr/lib/portcullis/dist/bin/portcullis.js \
    && ln -s /usr/lib/portcullis/dist/bin/portcullis.js /usr/bin/portcullis
ENV NODE_ENV=production
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["portcullis", "status", "--health"]
ENTRYPOINT ["portcullis"]
CMD ["--help"]
