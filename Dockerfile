# Inkstone on a CPU. See docs/docker.md.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# not `npm ci`: it refuses a lock file that leaves out optional packages of other systems, as some registries make it
RUN npm install --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.js scripts/
COPY src src
RUN npm run build
RUN npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
WORKDIR /app
RUN mkdir -p /models && chown node:node /models
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json README.md LICENSE ./
# A container is reached only through the ports that are published: the server listens on all of its addresses.
ENV NODE_ENV=production INKSTONE_HOST=0.0.0.0 INKSTONE_PORT=8080 INKSTONE_INSECURE=true INKSTONE_CACHE_DIR=/models
USER node
VOLUME /models
EXPOSE 8080
# It asks on INKSTONE_PORT: set another port there, not with --port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.INKSTONE_PORT + '/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
