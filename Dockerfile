# The server's image: docker build --target cpu -t gradwire .
#   docker run --read-only -p 127.0.0.1:50051:50051 gradwire --insecure
# scripts/image_check.sh takes the same steps without a container engine.

FROM debian:13-slim AS build
WORKDIR /src
COPY deploy/packages/build.txt deploy/packages/
COPY deploy/image/packages.sh deploy/image/
RUN deploy/image/packages.sh deploy/packages/build.txt
COPY CMakeLists.txt ./
COPY proto proto
COPY client/cpp client/cpp
COPY server server
COPY deploy/image deploy/image
RUN deploy/image/build.sh /out

FROM debian:13-slim AS cpu
RUN --mount=type=bind,source=deploy,target=/deploy \
    /deploy/image/packages.sh /deploy/packages/runtime.txt
COPY --from=build /out/ /
USER 65532:65532
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["gradwire-server", "--probe=127.0.0.1:50052"]
# Past loopback the server wants TLS (--tls_cert, --tls_key) or, where something else protects it, --insecure.
ENTRYPOINT ["gradwire-server", "--host=0.0.0.0", "--health_port=50052"]
