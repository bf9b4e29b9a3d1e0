#include "common/yaml_proto.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <google/protobuf/descriptor.h>
#include <google/protobuf/struct.pb.h>

#include "common/durations.h"
#include "common/enum_word.h"
#include "common/status.h"
#include "common/yaml_document.h"

namespace slipway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  absl::Status ReadMessage(const YAML::Node& node, absl::string_view path, Message& message) {
    if (message.GetDescriptor()->full_name() == "google.protobuf.Duration") {
      return ReadDuration(node, path, message);
    }
    if (message.GetDescriptor()->full_name() == "google.protobuf.Struct") {
      return ReadStruct(node, path, static_cast<google::protobuf::Struct&>(message));
    }
    if (node.IsNull()) return absl::OkStatus();
    if (!node.IsMap()) return Wrong(node, path, "expected keys and values");
    std::set<std::string> seen;
    std::set<const google::protobuf::OneofDescriptor*> chosen;
    for (const auto& item : node) {
      const std::string key = item.first.IsScalar() ? item.first.Scalar() : "";
      const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key);
      if (field == nullptr) return UnknownKey(item.first, path, key, *message.GetDescriptor());
      if (!seen.insert(key).second)
        return Wrong(item.first, path, absl::StrCat("the key `", key, "` comes twice"));
      const auto* oneof = field->real_containing_oneof();
      if (oneof != nullptr && !chosen.insert(oneof).second) {
        return Wrong(item.first, path,
                     absl::StrCat("`", key, "` is one choice too many: only one ", oneof->name(),
                                  " may be given"));
      }
      SLIPWAY_RETURN_IF_ERROR(ReadField(item.second, Join(path, key), *field, message));
    }
    return absl::OkStatus();
  }

 private:
  static std::string Join(absl::string_view path, absl::string_view key) {
    return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
  }

  absl::Status Wrong(const YAML::Node& node, absl::string_view path, absl::string_view what) const {
    return InvalidYaml(file_, node.Mark(),
                       absl::StrCat(path.empty() ? "" : absl::StrCat(path, ": "), what));
  }

  absl::Status UnknownKey(const YAML::Node& node, absl::string_view path, const std::string& key,
                          const Descriptor& descriptor) const {
    std::vector<std::string> known;
    std::string nearest;
    size_t least = 3;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      known.push_back(descriptor.field(i)->name());
      const size_t distance = EditDistance(key, known.back());
      if (distance >= least) continue;
      least = distance;
      nearest = known.back();
    }
    return Wrong(
        node, path,
        absl::StrCat("unknown key `", key, "`; ",
                     nearest.empty() ? absl::StrCat("known are ", absl::StrJoin(known, ", "))
                                     : absl::StrCat("did you mean `", nearest, "`?")));
  }

  absl::Status ReadField(const YAML::Node& node, const std::string& path,
                         const FieldDescriptor& field, Message& message) {
    const auto* reflection = message.GetReflection();
    if (field.is_map()) return ReadMap(node, path, field, message);
    if (field.is_repeated()) {
      if (IsLabels(node, field)) return ReadValue(node, path, field, message, /*add=*/true);
      if (!node.IsSequence()) return Wrong(node, path, "expected a list, such as [a, b]");
      for (size_t i = 0; i < node.size(); ++i) {
        SLIPWAY_RETURN_IF_ERROR(
            ReadValue(node[i], absl::StrCat(path, "[", i, "]"), field, message, /*add=*/true));
      }
      return absl::OkStatus();
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(node, path, *reflection->MutableMessage(&message, &field));
    }
    return ReadValue(node, path, field, message, /*add=*/false);
  }

  // Only maps from string to string occur in our files.
  absl::Status ReadMap(const YAML::Node& node, const std::string& path,
                       const FieldDescriptor& field, Message& message) {
    if (!node.IsMap()) return Wrong(node, path, "expected keys and values");
    std::set<std::string> seen;
    for (const auto& item : node) {
      if (!item.first.IsScalar() || !item.second.IsScalar()) {
        return Wrong(item.first, path, "expected text for key and value");
      }
      if (!seen.insert(item.first.Scalar()).second) {
        return Wrong(item.first, path,
                     absl::StrCat("the key `", item.first.Scalar(), "` comes twice"));
      }
      Message* entry = message.GetReflection()->AddMessage(&message, &field);
      const Descriptor* type = entry->GetDescriptor();
      entry->GetReflection()->SetString(entry, type->map_key(), item.first.Scalar());
      entry->GetReflection()->SetString(entry, type->map_value(), item.second.Scalar());
    }
    return absl::OkStatus();
  }

  // Hosts are named one by one or by their labels.
  static bool IsLabels(const YAML::Node& node, const FieldDescriptor& field) {
    return node.IsMap() && field.is_repeated() &&
           field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  }

  // {role: web, zone: eu} is role=web,zone=eu.
  absl::StatusOr<std::string> ReadLabels(const YAML::Node& node, const std::string& path) {
    std::vector<std::string> terms;
    for (const auto& item : node) {
      if (!item.first.IsScalar() || !item.second.IsScalar()) {
        return Wrong(item.first, path, "expected text for label and value");
      }
      terms.push_back(absl::StrCat(item.first.Scalar(), "=", item.second.Scalar()));
    }
    return absl::StrJoin(terms, ",");
  }

  absl::Status ReadValue(const YAML::Node& node, const std::string& path,
                         const FieldDescriptor& field, Message& message, bool add) {
    const auto* reflection = message.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(node, path, *reflection->AddMessage(&message, &field));
    }
    std::string text;
    if (IsLabels(node, field)) {
      SLIPWAY_ASSIGN_OR_RETURN(text, ReadLabels(node, path));
    } else if (node.IsScalar()) {
      text = node.Scalar();
    } else {
      return Wrong(node, path, "expected a single value");
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        add ? reflection->AddString(&message, &field, text)
            : reflection->SetString(&message, &field, text);
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_BOOL:
        // Not YAML 1.1's yes, no, on, off: a person means text by those as often as not.
        if (text != "true" && text != "false") return Wrong(node, path, "expected true or false");
        reflection->SetBool(&message, &field, text == "true");
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_UINT32: {
        uint32_t number = 0;
        SLIPWAY_RETURN_IF_ERROR(ReadWholeNumber(node, path, number));
        add ? reflection->AddUInt32(&message, &field, number)
            : reflection->SetUInt32(&message, &field, number);
        return absl::OkStatus();
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        uint64_t number = 0;
        SLIPWAY_RETURN_IF_ERROR(ReadWholeNumber(node, path, number));
        add ? reflection->AddUInt64(&message, &field, number)
            : reflection->SetUInt64(&message, &field, number);
        return absl::OkStatus();
      }
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadEnum(node, path, field, message);
      default:
        return Wrong(node, path, "cannot be set from a file");
    }
  }

  template <typename Number>
  absl::Status ReadWholeNumber(const YAML::Node& node, const std::string& path, Number& number) {
    const std::string text = node.Scalar();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool octal_looking = text.size() > 1 && text.front() == '0';
    if (error != std::errc() || end != text.data() + text.size() || octal_looking) {
      return Wrong(node, path, absl::StrCat("expected a whole number, found `", text, "`"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadEnum(const YAML::Node& node, const std::string& path,
                        const FieldDescriptor& field, Message& message) {
    std::vector<std::string> words;
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      const auto* value = field.enum_type()->value(i);
      if (value->number() == 0) continue;
      words.push_back(EnumWord(*value));
      if (words.back() == node.Scalar()) {
        message.GetReflection()->SetEnum(&message, &field, value);
        return absl::OkStatus();
      }
    }
    return Wrong(
        node, path,
        absl::StrCat("expected ", absl::StrJoin(words, " or "), ", found `", node.Scalar(), "`"));
  }

  absl::Status ReadDuration(const YAML::Node& node, absl::string_view path, Message& message) {
    const auto parsed = ParseDuration(node.IsScalar() ? node.Scalar() : "");
    if (!parsed.ok()) {
      return Wrong(node, path, "expected a duration such as 250ms, 10s, 5m or 1h");
    }
    static_cast<google::protobuf::Duration&>(message) = ToProto(*parsed);
    return absl::OkStatus();
  }

  absl::Status ReadStruct(const YAML::Node& node, absl::string_view path,
                          google::protobuf::Struct& object) {
    if (!node.IsMap()) return Wrong(node, path, "expected keys and values");
    for (const auto& item : node) {
      const std::string key = item.first.Scalar();
      if (object.fields().contains(key)) {
        return Wrong(item.first, path, absl::StrCat("the key `", key, "` comes twice"));
      }
      SLIPWAY_RETURN_IF_ERROR(
          ReadJsonValue(item.second, Join(path, key), (*object.mutable_fields())[key]));
    }
    return absl::OkStatus();
  }

  absl::Status ReadJsonValue(const YAML::Node& node, const std::string& path,
                             google::protobuf::Value& value) {
    if (node.IsScalar() || node.IsNull()) {
      ReadJsonScalar(node, value);
      return absl::OkStatus();
    }
    // An anchor that holds itself would never end.
    if (depth_ == kDeepestJson) return Wrong(node, "", "nested too deeply");
    ++depth_;
    absl::Status status;
    if (node.IsMap()) {
      status = ReadStruct(node, path, *value.mutable_struct_value());
    } else {
      value.mutable_list_value();
      for (auto item = node.begin(); status.ok() && item != node.end(); ++item) {
        status = ReadJsonValue(*item, path, *value.mutable_list_value()->add_values());
      }
    }
    --depth_;
    return status;
  }

  static void ReadJsonScalar(const YAML::Node& node, google::protobuf::Value& value) {
    const std::string text = node.IsScalar() ? node.Scalar() : "";
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool quoted = node.Tag() == "!";
    // from_chars also takes `inf` and `nan`, which are words here.
    const bool numeric = !quoted && !text.empty() && error == std::errc() &&
                         end == text.data() + text.size() && std::isfinite(number);
    if (node.IsNull()) {
      value.set_null_value(google::protobuf::NULL_VALUE);
    } else if (!quoted && (text == "true" || text == "false")) {
      value.set_bool_value(text == "true");
    } else if (numeric) {
      value.set_number_value(number);
    } else {
      value.set_string_value(text);
    }
  }

  // Well below the depth at which protobuf refuses to read a message back.
  static constexpr int kDeepestJson = 30;

  absl::string_view file_;
  int depth_ = 0;
};

}  // namespace

absl::Status ParseYaml(absl::string_view text, absl::string_view file, Message& message) {
  SLIPWAY_ASSIGN_OR_RETURN(const YAML::Node document, LoadYaml(text, file));
  return Reader(file).ReadMessage(document, "", message);
}

}  // namespace slipway
