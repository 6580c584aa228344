# The image is the binary, the authorities' certificates, and a directory that its user may write to. No shell: look
# inside with the binary's own commands, e.g. `docker compose exec view /potok doctor`.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /out/potok ./cmd/potok
# A new named volume takes its owner from the image's directory, and scratch has no mkdir.
RUN mkdir -p /out/state/var/lib/potok

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/potok /potok
COPY --from=build --chown=65532:65532 /out/state/ /
COPY LICENSE /LICENSE
ENV POTOK_DATA_DIR=/var/lib/potok
VOLUME /var/lib/potok
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/potok"]
