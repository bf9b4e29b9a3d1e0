// What the store costs, on SQLite and on PostgreSQL: store_bench [FOLDER], whose file system should be the one that matters.
// The server writes to the disk as a real one does, by its unix socket.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

#include "controller/store/sqlite.h"
#include "tests/contract/store_contract.h"
#include "tests/support/postgres_server.h"

namespace slipway::controller {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The middle one of several, in milliseconds.
double Middle(int times, const std::function<void()>& work) {
  std::vector<double> all;
  for (int i = 0; i < times; ++i) all.push_back(1'000 * Seconds(work));
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

void Commits(Store& store, int writers) {
  constexpr int kEach = 500;
  const double time = Seconds([&] {
    std::vector<std::thread> threads;
    for (int t = 0; t < writers; ++t) {
      threads.emplace_back([&store] {
        for (int i = 0; i < kEach; ++i) {
          Require(store.AppendHistory({"gifty", "ann", "act", "subject", "ok"}));
        }
      });
    }
    for (auto& thread : threads) thread.join();
  });
  std::printf("  %d writers: %.0f commits/s\n", writers, writers * kEach / time);
}

void Transitions(Store& store, size_t hosts) {
  NewDeployment made = DeploymentOf("gifty", "aaaaaaaaaaaa", absl::StrCat("fleet-", hosts));
  made.deployment.rollouts.clear();
  for (size_t i = 0; i < hosts; ++i) {
    made.deployment.rollouts.push_back({absl::StrCat("host-", i), {}, {}, {}});
  }
  std::string id;
  const double create = Seconds([&] { id = store.CreateDeployment(made, {})->id; });
  Transition transition;
  transition.deployment = store.GetDeploymentHead("gifty", id).value();
  transition.deployment.state = pb::DEPLOYMENT_STATE_RUNNING;
  for (size_t i = 0; i < hosts; ++i) {
    transition.hosts.push_back({i, pb::DEPLOYMENT_STATE_RUNNING, pb::SLOT_GREEN});
    StepRecord step;
    step.name = "health";
    step.state = pb::STEP_STATE_DONE;
    step.evidence.mutable_health()->set_last_body(std::string(300, 'x'));
    transition.steps.push_back({i, 0, step});
    pb::Event& event = transition.events.emplace_back();
    event.set_host(absl::StrCat("host-", i));
    event.mutable_step()->set_name("health");
  }
  const double record = Middle(9, [&] { Require(store.RecordTransition(transition).status()); });
  const double read = Middle(9, [&] { Require(store.GetDeployment("gifty", id).status()); });
  std::printf("  %zu hosts: created in %.1f ms, a transition of all in %.1f ms, read in %.1f ms\n",
              hosts, 1'000 * create, record, read);
  Require(store.RecordTransition(EndOf(transition.deployment, pb::DEPLOYMENT_STATE_SUCCEEDED))
              .status());
}

void Pages(Store& store, Database& database) {
  const double filled = Seconds([&] {
    Require(database.Execute(
        "INSERT INTO deployments (app, id, kind, state, reason, message, release, "
        "previous_release, commit_name, actor, description, epoch, plan_version, create_time) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
        "SELECT 'gifty', 'd' || i, 1, 3, 0, '', 'aaaaaaaaaaaa', '', 'c', 'ann', '', i, 1, i "
        "FROM n"));
  });
  std::printf("  a million deployments more (in %.1f s):\n", filled);
  std::string before;
  const double newest =
      Middle(101, [&] { before = store.ListDeployments("gifty", "", 50)->back().id; });
  const double next =
      Middle(101, [&] { Require(store.ListDeployments("gifty", before, 50).status()); });
  const double old =
      Middle(101, [&] { Require(store.ListDeployments("gifty", "d500000", 50).status()); });
  const double served = Middle(101, [&] { Require(store.ListServed("gifty", 50).status()); });
  const double head = Middle(101, [&] { Require(store.GetDeploymentHead("gifty", "-").status()); });
  const double queued = Middle(101, [&] { Require(store.ListQueued().status()); });
  std::printf("    newest 50 in %.2f ms, the next 50 in %.2f, 50 from the middle in %.2f\n", newest,
              next, old);
  std::printf("    those that served in %.2f ms, one in %.2f, those that wait in %.2f\n", served,
              head, queued);
}

void Measure(const char* name, Store& store, Database& database) {
  std::printf("%s\n", name);
  Require(store.ApplyApplication(SpecOf("gifty"), {}, "ann").status());
  Require(store.CreateRelease(ReleaseOf("gifty", "aaaaaaaaaaaa"), {}, "ann").status());
  Commits(store, 1);
  Commits(store, 4);
  for (const size_t hosts : {1, 100, 1'000}) Transitions(store, hosts);
  Pages(store, database);
  std::printf("  history verified in %.0f ms\n",
              1'000 * Seconds([&] { Require(store.VerifyHistory()); }));
}

// How long a renewal waits for the writes that it comes between.
void Renewals(Store& store, const PostgresOptions& options) {
  const auto leadership = Leadership::Open(options).value();
  const uint64_t epoch = leadership->Current()->epoch;
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t) {
    writers.emplace_back([&] {
      while (!stop) Require(store.AppendHistory({"gifty", "ann", "act", "subject", "ok"}));
    });
  }
  std::vector<double> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(1'000 *
                  Seconds([&] { Require(leadership->Renew(epoch, std::chrono::hours(1))); }));
  }
  stop = true;
  for (auto& writer : writers) writer.join();
  std::sort(all.begin(), all.end());
  std::printf("  the lead renewed beside 4 writers in %.1f ms, at worst %.1f\n",
              all[all.size() / 2], all.back());
}

void Run(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "store_bench.db";
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + part);
  {
    const auto store = SqlStore::Open(file, SystemClock()).value();
    const auto database = SqliteDatabase::Open(file).value();
    Measure("SQLite", *store, *database);
  }
  std::filesystem::remove(file);
  const slipway::testing::PostgresServer server({"fsync=on"});
  const auto store = LeadingStore(server.Options("postgres"));
  auto options = server.Options("postgres");
  options.statement_timeout = std::chrono::minutes(10);
  const auto database = PostgresDatabase::Open(options, PostgresDatabase::Fence::kNone).value();
  Measure("PostgreSQL", *store, *database);
  Renewals(*store, options);
}

}  // namespace
}  // namespace slipway::controller

int main(int argc, char** argv) {
  slipway::controller::Run(argc > 1 ? std::filesystem::path(argv[1])
                                    : std::filesystem::temp_directory_path());
}
