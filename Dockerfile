# The one binary, for `keyturn api`, `keyturn worker` and `keyturn migrate`. It is static, so the image holds nothing
# else than it, certificates and time zones.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o /keyturn ./cmd/keyturn

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /keyturn /usr/local/bin/keyturn
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/keyturn"]
CMD ["--help"]
