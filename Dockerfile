# The one binary, for `keyturn api`, `keyturn worker` and `keyturn migrate`. It is static, so the image holds nothing
# else than it, certificates and time zones.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# docker build --build-arg COMMIT=$(git rev-parse HEAD) --build-arg COMMIT_TIME=$(git log -1 --format=%cI) .
ARG COMMIT= COMMIT_TIME=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X keyturn.dev/keyturn.commit=$COMMIT -X keyturn.dev/keyturn.commitTime=$COMMIT_TIME" -o /keyturn ./cmd/keyturn

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /keyturn /usr/local/bin/keyturn
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/keyturn"]
CMD ["--help"]
