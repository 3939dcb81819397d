# omd
