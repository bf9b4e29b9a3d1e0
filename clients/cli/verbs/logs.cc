// slipway logs: what the application's containers write.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"
#include "common/names.h"

namespace slipway::cli {

Verb LogsVerb() {
  return {"logs",
          "Output of the serving containers",
          {"slipway logs", "slipway logs -f --service api", "slipway logs --tail 1000"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto request = std::make_shared<pb::StreamLogsRequest>();
            auto named = std::make_shared<std::string>();
            auto service = std::make_shared<std::string>();
            auto host = std::make_shared<std::string>();
            auto follow = std::make_shared<bool>(false);
            auto tail = std::make_shared<int>(100);
            app.AddOption("APP", *named, "Default: the application of slipway.yaml");
            app.AddOption("--service", *service, "Any service, also a shared one or a worker");
            app.AddOption("--host", *host, "Default: the first");
            app.AddFlag("--follow,-f", *follow, "Go on with what comes");
            app.AddOption("--tail", *tail, "Lines from the end").Range(0, 100000);
            return [=](Session& session) -> int {
              const auto name = ApplicationOf(*named, session.file);
              if (!name.ok()) return Fail(session, name.status());
              const auto controller = session.Controller();
              if (!controller.ok()) return Fail(session, controller.status());
              request->set_name(ApplicationName(*name));
              request->set_service(*service);
              request->set_host(*host);
              request->set_follow(*follow);
              request->set_tail(*tail);
              const absl::Status streamed =
                  (*controller)->StreamLogs(*request, [&](const pb::StreamLogsResponse& line) {
                    if (session.output.json) {
                      session.output.JsonLine(line);
                    } else {
                      session.output.Line(absl::StrCat(
                          session.output.Paint(Tone::kQuiet, absl::StrCat(line.service(), " | ")),
                          line.line()));
                    }
                    return true;
                  });
              return streamed.ok() ? kExitOk : Fail(session, streamed);
            };
          }};
}

}  // namespace slipway::cli
