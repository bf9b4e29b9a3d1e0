// The suite that runs on every back end of the Store: a new one adds its opener to Backends().
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/status.h"
#include "tests/contract/store_contract.h"
#include "tests/support/postgres_server.h"

namespace slipway::controller {

struct Backend {
  std::string name;
  std::function<std::unique_ptr<Store>(const std::filesystem::path& folder)> open;
};

// In the tests' names, which would have the object's bytes otherwise.
inline void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }

inline std::unique_ptr<Store> OpenSqlite(const std::filesystem::path& folder) {
  auto store = SqlStore::Open(folder / "state.db", SystemClock());
  EXPECT_TRUE(store.ok()) << store.status();
  return std::move(store).value();
}

// A database for each folder.
inline std::unique_ptr<Store> OpenPostgres(const std::filesystem::path& folder) {
  auto& server = slipway::testing::PostgresServer::Shared();
  static std::map<std::filesystem::path, std::string> databases;
  std::string& database = databases[folder];
  if (database.empty()) database = server.NewDatabase();
  return LeadingStore(server.Options(database));
}

inline std::vector<Backend> Backends() {
  return {{"Sqlite", OpenSqlite}, {"Postgres", OpenPostgres}};
}

inline std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason(); }

class StoreContract : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '.');
    folder_ = std::filesystem::path(::testing::TempDir()) / ("store_contract." + name);
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    store_ = GetParam().open(folder_);
  }
  void TearDown() override {
    EXPECT_TRUE(store_->VerifyHistory().ok()) << store_->VerifyHistory();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Reopen() {
    store_.reset();
    store_ = GetParam().open(folder_);
  }
  void MakeRelease(const std::string& app = "gifty", const std::string& id = "aaaaaaaaaaaa") {
    ASSERT_TRUE(store_->ApplyApplication(SpecOf(app), {}, "ann").ok());
    ASSERT_TRUE(store_->CreateRelease(ReleaseOf(app, id), {}, "ann").ok());
  }
  DeploymentRecord MakeDeployment(const Request& request = {}) {
    const auto id = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), request);
    EXPECT_TRUE(id.ok()) << id.status();
    return store_->GetDeployment("gifty", id->id).value();
  }
  std::vector<uint64_t> Sequences(const std::string& id, uint64_t after = 0) {
    std::vector<uint64_t> numbers;
    const std::vector<pb::Event> events = store_->ListEvents("gifty", id, after, 1000).value();
    for (const auto& event : events) {
      numbers.push_back(event.sequence());
    }
    return numbers;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Store> store_;
};

}  // namespace slipway::controller
