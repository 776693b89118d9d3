# rerank serve: docker build -t rerank . && docker run -p 127.0.0.1:8000:8000 -e RERANK_API_KEYS rerank
# docs/serve.md says how keys are made and what lies in /workspace.
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
        "$(ls /wheels/listing_rerank-*.whl)[serve]" \
    && rm -r /wheels \
    && useradd --system --uid 10001 --no-create-home rerank \
    && install -d -o rerank /workspace
ENV RERANK_HOME=/workspace PYTHONUNBUFFERED=1
USER rerank
VOLUME /workspace
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["rerank"]
CMD ["serve", "--host", "0.0.0.0"]
