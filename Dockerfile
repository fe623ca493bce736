# The server's images: docker build --target cpu -t gradwire .; docker build --target cuda -t gradwire:cuda .
#   docker run --read-only -p 127.0.0.1:50051:50051 gradwire --insecure
#   docker run --read-only -p 127.0.0.1:50051:50051 --gpus all gradwire:cuda --insecure
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
RUN deploy/image/build.sh cpu /out

FROM build AS build-cuda
COPY deploy/packages/pip.txt deploy/packages/cuda.txt deploy/packages/
RUN deploy/image/packages.sh deploy/packages/pip.txt \
    && deploy/image/cuda.sh deploy/packages/cuda.txt /opt/cuda \
    && deploy/image/build.sh cuda /out-cuda

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

FROM cpu AS cuda
COPY --from=build-cuda /out-cuda/ /
# Which GPUs, and what of their driver the engine is to bring along.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
