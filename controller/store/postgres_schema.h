// The schema's steps in PostgreSQL's words, and the tables that only PostgreSQL has. Internal to controller/store.
#pragma once

#include <string>

namespace slipway::controller {

// A step of migrations.cc. Texts are ordered by their bytes, whatever the database's collation.
std::string PostgresStep(const std::string& step);

// What is made with the first step: who leads (leadership.h), what releases are made of (release_files.h), and the schema's version.
extern const char kPostgresFoundation[];
// What is made after it.
extern const char kPostgresGuards[];

}  // namespace slipway::controller
