#!/bin/sh
# How this was deployed before: build, start, point nginx at the port, reload.
set -e
cd "$(dirname "$0")/.."
DOCKER_BUILDKIT=0 docker-compose up -d --build
echo "upstream survey_backend { server 127.0.0.1:${APP_PORT:-8000}; }" >/etc/nginx/conf.d/survey_upstream.conf
nginx -s reload
