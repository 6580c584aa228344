package main

// word returns what people read beside an answer, in their language. Fields' names are the answers' own in every language, and
// help and errors are in English.
func (p *program) word(english string) string {
	if p.lang == "ru" {
		if word, ok := russian()[english]; ok {
			return word
		}
	}
	return english
}

func russian() map[string]string {
	return map[string]string{
		moreUsers: "есть ещё пользователи: --all покажет всех",
		"field":   "поле", "value": "значение",
		"total": "показатель", "count": "количество", "topic": "топик", "rejected": "отклонено",
		"partition": "партиция", "position": "прочитано до", "end": "конец", "lag": "отставание",
	}
}

const moreUsers = "there are more users: --all shows all"
