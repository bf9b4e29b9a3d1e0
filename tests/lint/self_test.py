"""Each check finds what is planted for it, in the planted place, and nothing in a tree that is right."""
import os
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import file_size  # noqa: E402
import format as format_check  # noqa: E402
import include_direction  # noqa: E402
import no_shell  # noqa: E402

HEADER = "// What it is for.\n#pragma once\n"
GOOD = {
    "common/status.h": HEADER,
    "common/yaml_document.cc": "#include <yaml-cpp/yaml.h>\n\n#include \"common/status.h\"\n",
    "controller/fleet/fleet.cc": "#include \"clients/transport/dial.h\"\n#include \"controller/server.h\"\n",
    "controller/store/sqlite.cc": "#include <sqlite3.h>\n",
    "executor/server.cc": "#include \"common/status.h\"\n#include \"slipway/v1/releases.pb.h\"\n",
    "executor/text.cc": "// system(\"x\") is refused, and so is \"sh\", \"-c\".\nvoid File_system();\nint Run(int file_system);\n",
    "tests/unit/x_test.cc": "#include \"controller/server.h\"\n#include \"executor/server.h\"\n#include <sqlite3.h>\n"
                            "int x = system(\"true\");\n",
}


class Lint(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="slipway-lint-")
        self.addCleanup(shutil.rmtree, self.root)

    def plant(self, files):
        for path, text in files.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)

    def expect(self, check, path, text, place):
        self.plant({path: text})
        found = list(check.findings(self.root))
        os.remove(os.path.join(self.root, path))
        self.assertTrue(any(finding.startswith(place) for finding in found), f"{text!r}: {found}")

    def test_nothing_is_found_where_nothing_is_wrong(self):
        self.plant(GOOD)
        for check in (no_shell, include_direction, file_size):
            self.assertEqual(list(check.findings(self.root)), [], check.__name__)

    def test_no_shell(self):
        for text in ('int x = system("ls");\n', "int x = std::system(command.c_str());\n", "auto f = ::popen(a, b);\n",
                     'Argv a = {"sh", "-c", text};\n', 'Argv a = {"/bin/bash",\n  "-lc", text};\n'):
            self.expect(no_shell, "executor/x.cc", "int y;\n" + text, "executor/x.cc:2: ")
        self.expect(no_shell, "clients/x.h", 'system("x");\n', "clients/x.h:1: ")

    def test_include_direction_between_rooms(self):
        for path, header in (("common/x.cc", "executor/server.h"), ("common/x.cc", "clients/cli/verb.h"),
                             ("controller/x.cc", "executor/server.h"), ("executor/x.cc", "controller/server.h"),
                             ("executor/x.cc", "clients/transport/dial.h"),
                             ("clients/cli/x.cc", "controller/server.h"), ("clients/cli/x.cc", "executor/server.h"),
                             ("clients/transport/x.cc", "clients/controller_client.h"),
                             ("controller/api/x.cc", "clients/transport/dial.h"),
                             ("controller/fleet/x.cc", "clients/controller_client.h"),
                             ("executor/x.cc", "tests/support/fake_clock.h"), ("deploy/x.cc", "common/status.h"),
                             ("cellar/x.cc", "common/status.h"), ("executor/x.cc", "server.h")):
            self.expect(include_direction, path, f'int y;\n#include "{header}"\n', f"{path}:2: ")

    def test_include_direction_of_third_parties(self):
        for path, header in (("controller/x.cc", "sqlite3.h"), ("controller/store/x.cc", "libpq-fe.h"), ("clients/cli/x.cc", "libssh/libssh.h"),
                             ("controller/server.cc", "prometheus/counter.h"), ("executor/x.cc", "yaml-cpp/yaml.h"),
                             ("common/spec.cc", "yaml-cpp/yaml.h"), ("executor/x.cc", "common/status.h")):
            self.expect(include_direction, path, f"#  include <{header}>\n", f"{path}:1: ")

    def test_headers_start_with_a_comment_and_a_guard(self):
        self.expect(include_direction, "common/x.h", "#pragma once\n", "common/x.h:1: a header starts")
        self.expect(include_direction, "common/x.h", "// For y.\nint y;\n", "common/x.h:1: #pragma once")
        self.expect(include_direction, "common/x.h", "", "common/x.h:1: a header starts")

    def test_file_size(self):
        self.expect(file_size, "common/x.cc", "\n" * 501, "common/x.cc:501: ")
        self.plant({"common/y.cc": "\n" * 500})
        self.assertEqual(list(file_size.findings(self.root)), [])

    def test_format(self):
        shutil.copy(os.path.join(HERE, "..", "..", ".clang-format"), self.root)
        self.plant({"common/y.cc": "int Y();\n"})
        self.assertEqual(list(format_check.findings(self.root)), [])
        self.expect(format_check, "common/x.cc", "int X();\n\n  int   Z( );\n", "common/x.cc:")


if __name__ == "__main__":
    unittest.main()
